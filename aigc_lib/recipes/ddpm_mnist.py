"""Diffusion of digits by class: a small U-Net, v-prediction, cosine schedule."""

import torch

from aigc_lib import diffusion
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.recipes.digits import features
from aigc_lib.training.denoising import denoising, measured
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, labelled_digits

STEPS = 12_000
ALPHA_BAR = diffusion.cosine_schedule(1000)
LEANS_ON = ("digits",)  # the meter's checkpoint
load_data = labelled_digits


def build() -> FastUNet:
    """The untrained network."""
    return FastUNet()


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """v by Muon and Adam, mostly at middle noise levels."""
    return denoising(build(), splits, accelerator, rng, ALPHA_BAR)


def metrics(model: FastUNet, splits: Splits) -> dict[str, float]:
    """The meter on samples of 50 and of 20 steps."""
    return measured(model, splits, features(), ALPHA_BAR)
