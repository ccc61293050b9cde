"""DCGAN in small: two convolutional networks and a gradient penalty."""

import torch

from aigc_lib.models.gan import Discriminator, Generator
from aigc_lib.recipes.digits import features
from aigc_lib.training.adversarial import BATCH, adversarial, measured
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS = 10_000
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> Generator:
    """The untrained generator."""
    return Generator()


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The non-saturating losses, and R1 at real images."""
    return adversarial(build(), Discriminator(), splits, accelerator, rng, r1=0.3)


def metrics(G: Generator, splits: Splits) -> dict[str, float]:
    """The meter on as many samples as held-out images."""
    return measured(G, splits, features())
