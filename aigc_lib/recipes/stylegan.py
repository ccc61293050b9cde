"""StyleGAN in small: a mapping network, styles that scale channels, noise maps."""

import torch

from aigc_lib.models.gan import Discriminator
from aigc_lib.models.stylegan import StyleGenerator
from aigc_lib.recipes.digits import features
from aigc_lib.training.adversarial import BATCH, adversarial, measured
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS = 10_000
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> StyleGenerator:
    """The untrained generator."""
    return StyleGenerator()


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """A stronger penalty and a slower D than in `gan`."""
    G, D = build(), Discriminator()
    return adversarial(G, D, splits, accelerator, rng, r1=1.0, lr_d=2e-3)


def metrics(G: StyleGenerator, splits: Splits) -> dict[str, float]:
    """The meter on as many samples as held-out images."""
    return measured(G, splits, features())
