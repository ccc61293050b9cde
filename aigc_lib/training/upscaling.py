"""What is measured of a network that enlarges images."""

import torch
from torch import Tensor, nn

from aigc_lib.evaluate import measure, psnr
from aigc_lib.evaluate.samples import Features
from aigc_lib.models.super_resolution import enlarge, shrink
from aigc_lib.sample.upscale import upscale
from aigc_lib.training.splits import Splits


def four_ways(model: nn.Module, low: Tensor, alpha_bar: Tensor) -> dict[str, Tensor]:
    """Images (B, C, f h, f w) for small ones by four ways to enlarge them.

    Drawn in 20 steps; the mean of all that might be drawn; and two without a network.
    """
    return {
        "drawn": upscale(model, low, alpha_bar, generator=_rng()),
        "mean": upscale(model, low, alpha_bar, steps=1, generator=_rng()),
        "bicubic": enlarge(low, model.factor),
        "nearest": enlarge(low, model.factor, "nearest"),
    }


def measured_upscaling(
    model: nn.Module,
    splits: Splits,
    features: Features,
    alpha_bar: Tensor,
    samples: int = 1000,
) -> dict[str, float]:
    """The marks of each way on `samples` held-out images, taken evenly.

    fdd: the distance from the very images that were made small, so 0 is possible.
    psnr: how near to each of these, in dB. consistency: the PSNR of the result, made
    small again, against the small image; that of nearest is infinite, and left out.
    """
    images = splits.held_out[0]
    images = images[:: max(1, len(images) // samples)][:samples]
    low, found = shrink(images, model.factor), {}
    for way, large in four_ways(model, low, alpha_bar).items():
        found[f"fdd_{way}"] = measure(large, images, features)["fdd"]
        found[f"psnr_{way}"] = psnr(large, images)
        if way != "nearest":
            found[f"consistency_{way}"] = psnr(shrink(large, model.factor), low)
    return found


def _rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
