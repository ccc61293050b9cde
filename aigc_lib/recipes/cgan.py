"""Conditional GAN: the label enters both networks as more input."""

import torch
from torch import Tensor

from aigc_lib.evaluate import measure
from aigc_lib.models.gan import Discriminator, Generator, append_label, label_planes
from aigc_lib.recipes.digits import features
from aigc_lib.training.adversarial import adversarial, draw
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, labelled_digits

STEPS = 10_000
LEANS_ON = ("digits",)  # the meter's checkpoint
load_data = labelled_digits


def build() -> Generator:
    """The untrained generator of noise (B, 64) and a one-hot label (B, 10)."""
    return Generator(latent_dim=64 + 10)


def noise(G: Generator, x: Tensor, y: Tensor, *, rng: torch.Generator) -> Tensor:
    """Inputs (B, 74) of the generator for images of labels y (B,)."""
    return append_label(torch.randn(len(x), 64, generator=rng), y)


def logits(D: Discriminator, x: Tensor, y: Tensor) -> Tensor:
    """How real the image is, seen together with a plane for each label."""
    return D(label_planes(x, y))


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The losses and the penalty of `gan`, with a D of 1 + 10 channels."""
    G, D = build(), Discriminator(channels=1 + 10)
    conditional = {"noise": noise, "logits": logits}
    return adversarial(G, D, splits, accelerator, rng, **conditional)


def metrics(G: Generator, splits: Splits) -> dict[str, float]:
    """The meter on as many samples as held-out images, labels spread evenly."""
    images, _ = splits.held_out
    labels = torch.arange(len(images)) % 10
    z = noise(G, images, labels, rng=torch.Generator().manual_seed(0))
    return measure(draw(G, z), images, features())
