"""Measures of a trained model, which is an argument."""

from collections.abc import Callable

import torch
from torch import Tensor

from aigc_lib.losses import vae_loss


@torch.no_grad()
def negative_elbo(
    model: Callable[..., tuple[Tensor, Tensor, Tensor]],
    images: Tensor,
    generator: torch.Generator | None = None,
    batch_size: int = 1000,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """The mean of -ELBO over `images` and its parts, in nats per image, one draw of z each.

    model(x, generator) returns logits, mu, logvar; images are (N, 1, H, W) in [-1, 1]. Returns
    {"loss", "nll", "kl"} as floats.
    """
    total = {"loss": 0.0, "nll": 0.0, "kl": 0.0}
    for x in images.split(batch_size):
        x = x.to(device)
        logits, mu, logvar = model(x, generator)
        for name, value in vae_loss(logits, x, mu, logvar).items():
            total[name] += float(value) * len(x) / len(images)
    return total
