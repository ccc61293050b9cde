"""SAGAN: attention in both networks, spectral norm in D, the hinge loss."""

import torch

from aigc_lib import losses
from aigc_lib.models.gan import Discriminator, Generator
from aigc_lib.nn.attention import SelfAttention2d
from aigc_lib.nn.spectral_norm import spectral_norm
from aigc_lib.recipes.digits import features
from aigc_lib.training.adversarial import BATCH, adversarial, measured
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS = 8_000
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> Generator:
    """The untrained generator, with attention at 7x7."""
    return Generator(extra=SelfAttention2d(64))


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Spectral norm in D, as in the paper, and no penalty (r1=0).

    The learning rates are those that `adversarial` has by default.
    """
    G, D = build(), Discriminator(norm=spectral_norm, extra=SelfAttention2d(64))
    loss = {"d_loss": losses.hinge_loss, "g_loss": lambda fake: -fake.mean()}
    return adversarial(G, D, splits, accelerator, rng, **loss, r1=0.0)


def metrics(G: Generator, splits: Splits) -> dict[str, float]:
    """The meter on as many samples as held-out images."""
    return measured(G, splits, features())
