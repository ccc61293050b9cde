"""Conditional GAN whose discriminator projects the label on its features."""

import torch
from torch import Tensor

from aigc_lib.models.gan import Generator, ProjectionDiscriminator
from aigc_lib.recipes.digits import features
from aigc_lib.training.adversarial import adversarial, gaussian_and_label, measured
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, labelled_digits

STEPS = 10_000
LEANS_ON = ("digits",)  # the meter's checkpoint
load_data = labelled_digits


def build() -> Generator:
    """The untrained generator of noise (B, 64) and a one-hot label (B, 10)."""
    return Generator(latent_dim=64 + 10)


def logits(D: ProjectionDiscriminator, x: Tensor, y: Tensor) -> Tensor:
    """How real the image is, and how well the label fits."""
    return D(x, y)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The losses and the penalty of `gan`."""
    G, D = build(), ProjectionDiscriminator()
    conditional = {"noise": gaussian_and_label, "logits": logits}
    return adversarial(G, D, splits, accelerator, rng, **conditional)


def metrics(G: Generator, splits: Splits) -> dict[str, float]:
    """The meter on as many samples as held-out images, labels spread evenly."""
    return measured(G, splits, features(), gaussian_and_label)
