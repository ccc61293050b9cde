"""Super-resolution of digits: diffusion draws 28x28 pixels for 7x7 averages."""

import torch
from torch import Tensor

from aigc_lib import diffusion
from aigc_lib.models.super_resolution import Upscaler, shrink
from aigc_lib.recipes.digits import features
from aigc_lib.training.denoising import denoising
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images
from aigc_lib.training.upscaling import measured_upscaling

STEPS, BATCH = 4_000, 64
NOISE = 0.2  # the highest deviation of the noise on small images
ALPHA_BAR = diffusion.cosine_schedule(1000)
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> Upscaler:
    """The untrained network."""
    return Upscaler()


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def noisy_small(images: Tensor, rng: torch.Generator) -> Tensor:
    """Averages (B, 1, 7, 7) with none to a little noise.

    So the network does not rely on each of their pixels, and may be given images that
    another network drew: noise conditioning augmentation (Ho et al. 2021,
    arXiv:2106.15282, section 4.2). Here it is not told the level; it can see it.
    """
    low = shrink(images)
    level = NOISE * torch.rand(len(low), 1, 1, 1, generator=rng)
    return low + level * torch.randn(low.shape, generator=rng)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """v by Muon and Adam, given the small image."""
    return denoising(
        build(),
        splits,
        accelerator,
        rng,
        ALPHA_BAR,
        batch_size=BATCH,
        told=noisy_small,
    )


def metrics(model: Upscaler, splits: Splits) -> dict[str, float]:
    """How real, how near the lost image, and how true to the small one."""
    return measured_upscaling(model, splits, features(), ALPHA_BAR)
