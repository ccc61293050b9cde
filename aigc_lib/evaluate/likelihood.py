"""Likelihood bounds of a latent-variable model, which is an argument."""

import math

import torch
from torch import Tensor, nn

from aigc_lib.data.mixture import Mixture
from aigc_lib.losses import bernoulli_nll, gaussian_kl


@torch.no_grad()
def negative_elbo(
    model: nn.Module,
    images: Tensor,
    generator: torch.Generator | None = None,
    batch_size: int = 1000,
    prior: Mixture | None = None,
) -> dict[str, float]:
    """The mean of -ELBO over `images` and its parts, in nats per image.

    model(x, eps) returns logits, mu, logvar; images are (N, C, H, W) in [-1, 1], with
    one draw of z each. The prior is N(0, I) unless a mixture is given, for which the KL
    is estimated from the draws. Returns {"loss", "nll", "kl"} as floats.
    """
    nll = kl = 0.0
    for x in images.split(batch_size):
        x = x.to(_device(model))
        eps = torch.randn(len(x), model.latent_dim, generator=generator).to(x.device)
        logits, mu, logvar = model(x, eps)
        nll += float(bernoulli_nll(logits, x).sum()) / len(images)
        if prior is None:
            kl += float(gaussian_kl(mu, logvar).sum()) / len(images)
        else:
            log_q = -0.5 * (eps**2 + logvar + math.log(2 * math.pi)).sum(1)
            z = mu + (0.5 * logvar).exp() * eps
            kl += float((log_q.cpu() - prior.log_prob(z.cpu())).sum()) / len(images)
    return {"loss": nll + kl, "nll": nll, "kl": kl}


@torch.no_grad()
def iwae_bound(
    model: nn.Module,
    images: Tensor,
    k: int,
    generator: torch.Generator | None = None,
    batch_size: int = 100,
) -> float:
    """The mean over `images` of -log(mean of k importance weights), in nats per image.

    The weights are p(x, z) / q(z|x). An upper bound on -log p(x) that falls as k grows;
    k = 1 estimates the negative ELBO (Burda, Grosse & Salakhutdinov 2016,
    arXiv:1509.00519, eq. 8).
    """
    if k < 1:
        raise ValueError(f"k={k}: expected at least 1 importance sample")
    total = 0.0
    for x in images.split(batch_size):
        x = x.to(_device(model))
        mu, logvar = model.encode(x)
        eps = torch.randn(k, *mu.shape, generator=generator).to(x.device)  # (k, B, D)
        z = mu + (0.5 * logvar).exp() * eps
        logits = model.decode(z.flatten(0, 1))  # (k * B, C, H, W)
        log_px = -bernoulli_nll(logits, x.repeat(k, 1, 1, 1)).view(k, -1)  # (k, B)
        log_ratio = 0.5 * (eps**2 - z**2 + logvar).sum(2)  # log p(z) - log q(z|x)
        total -= float((torch.logsumexp(log_px + log_ratio, dim=0) - math.log(k)).sum())
    return total / len(images)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
