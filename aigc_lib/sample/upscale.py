"""Large images for small ones."""

import torch
from torch import Tensor, nn

from aigc_lib.sample.diffusion import ddim, denoiser, last, timesteps


def upscale(
    model: nn.Module,
    low: Tensor,
    alpha_bar: Tensor,
    *,
    steps: int = 20,
    generator: torch.Generator | None = None,
    batch_size: int = 500,
) -> Tensor:
    """One image (B, C, f h, f w) on the CPU for each small one (B, C, h, w), by DDIM.

    model(x, t, low), with its `factor` f. Other noise from `generator` gives another
    image for the same small one. With steps = 1 it is no draw: from noise alone, the
    network says the mean of all images that have this small one, as regression would.
    """
    if low.ndim != 4:
        raise ValueError(
            f"small images have shape {tuple(low.shape)}: expected (B, C, h, w)"
        )
    device, found = next(model.parameters()).device, []
    for small in low.split(batch_size):
        B, C, h, w = small.shape
        noise = torch.randn(
            B, C, h * model.factor, w * model.factor, generator=generator
        )
        by = denoiser(model, alpha_bar, small.to(device))
        times = timesteps(len(alpha_bar), steps)
        large = last(ddim(by, noise.to(device), alpha_bar, times))
        found.append(large.clamp(-1, 1).cpu())
    return torch.cat(found)
