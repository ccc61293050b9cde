"""A U-Net that draws the pixels which a small picture has lost.

Saharia et al. 2021, arXiv:2104.07636 (SR3): the small picture is enlarged and stands
beside the noisy one as further channels. All else is diffusion as it was.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from aigc_lib.models.unet_fast import FastUNet

FACTOR = 4  # 28x28 becomes 7x7


def shrink(images: Tensor, factor: int = FACTOR) -> Tensor:
    """Averages of factor x factor pixels: (B, C, H, W) -> (B, C, H / f, W / f).

    Raises ValueError for another shape, and for sides that `factor` does not divide.
    """
    sides = images.shape[2:]
    if images.ndim != 4 or any(side % factor for side in sides):
        raise ValueError(
            f"images have shape {tuple(images.shape)}: expected (B, C, H, W), H and W "
            f"multiples of {factor}"
        )
    return F.avg_pool2d(images, factor)


def enlarge(low: Tensor, factor: int = FACTOR, mode: str = "bicubic") -> Tensor:
    """More pixels but no more detail: (B, C, h, w) -> (B, C, f h, f w) in [-1, 1].

    mode: nearest, bilinear or bicubic. Raises ValueError for another one.
    """
    if mode not in ("nearest", "bilinear", "bicubic"):
        raise ValueError(f"mode {mode!r}: expected nearest, bilinear or bicubic")
    return F.interpolate(low, scale_factor=float(factor), mode=mode).clamp(-1, 1)


class Upscaler(FastUNet):
    """Noisy images (B, C, H, W), times (B,), small ones (B, C, H / f, W / f) -> v."""

    def __init__(self, channels: int = 1, factor: int = FACTOR, **sizes: int):
        super().__init__(channels, classes=0, given=channels, **sizes)
        self.factor = factor

    def forward(self, x: Tensor, t: Tensor, low: Tensor) -> Tensor:
        sides = [side // self.factor for side in x.shape[2:]]
        expected = (len(x), self.channels, *sides)
        if low.shape != expected or not low.is_floating_point():
            raise ValueError(
                f"small images {tuple(low.shape)} of type {low.dtype}: expected floats "
                f"{expected} for images {tuple(x.shape)}"
            )
        known = enlarge(low, self.factor)  # (B, C, H, W)
        return super().forward(torch.cat((x, known), dim=1), t)
