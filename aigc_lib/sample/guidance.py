"""Steer a denoiser towards a condition; each function returns a denoiser again.

All of this is affine in x0 with weights that add up to 1, so it is the same in eps, in
v and in the score.
"""

import torch
from torch import Tensor, nn

from aigc_lib import diffusion
from aigc_lib.sample.diffusion import Denoiser


def guided(towards: Denoiser, away: Denoiser, w: float) -> Denoiser:
    """Classifier-free guidance: away + w (towards - away).

    w = 1 is `towards` alone and w = 0 is `away` alone, which is diffusers'
    `guidance_scale`; the w of Ho & Salimans 2022, arXiv:2207.12598, eq. 6, is ours less
    1. `away` usually knows no class; with one, it is a negative prompt.
    """
    if w == 1:
        return towards
    if w == 0:
        return away

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        here = away(xt, t)
        return here + w * (towards(xt, t) - here)

    return denoise


def rescaled(steered: Denoiser, plain: Denoiser, share: float = 0.7) -> Denoiser:
    """Give each steered x0 the standard deviation of the plain one, for a `share`.

    High w makes too much contrast (Lin et al. 2023, arXiv:2305.08891, eqs. 15 and 16).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}: expected 0 to 1")

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        x0, wanted = steered(xt, t), plain(xt, t)
        ratio = _deviation(wanted) / _deviation(x0)
        return share * ratio * x0 + (1 - share) * x0

    return denoise


def thresholded(steered: Denoiser, share: float = 0.995) -> Denoiser:
    """Dynamic thresholding: divide by the `share` quantile of |x0| where it is above 1.

    Then cut at -1 and 1 (Saharia et al. 2022, arXiv:2205.11487, section 2.3).
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share}: expected more than 0, at most 1")

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        x0 = steered(xt, t)
        bound = x0.flatten(1).abs().quantile(share, dim=1).clamp(min=1)
        bound = bound.view(-1, *[1] * (x0.ndim - 1))
        return x0.clamp(-bound, bound) / bound

    return denoise


def limited(steered: Denoiser, plain: Denoiser, first: int, end: int) -> Denoiser:
    """`steered` at times first <= t < end, and `plain` at all others.

    Kynkäänniemi et al. 2024, arXiv:2404.07724: guidance helps at middle noise levels.
    """
    if not 0 <= first < end:
        raise ValueError(f"times {first} to {end}: expected 0 <= first < end")

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        inside = first <= int(t[0]) < end
        return steered(xt, t) if inside else plain(xt, t)

    return denoise


def by_classifier(
    plain: Denoiser, classifier: nn.Module, y: Tensor, w: float, alpha_bar: Tensor
) -> Denoiser:
    """Classifier guidance: the score plus w times the gradient of log p(y | x_t).

    classifier(x_t, t) gives logits (B, K) for noisy images. Adding w g to the score
    moves x0 by w (1 - alpha_bar) / sqrt(alpha_bar) g (Dhariwal & Nichol 2021,
    arXiv:2105.05233, algorithm 2).
    """

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            x = xt.detach().requires_grad_()
            chosen = classifier(x, t).log_softmax(dim=1).gather(1, y[:, None])
            (gradient,) = torch.autograd.grad(chosen.sum(), x)
        a = diffusion.at(alpha_bar, t, xt)
        return plain(xt, t) + w * (1 - a) / a.sqrt() * gradient

    return denoise


def _deviation(x: Tensor) -> Tensor:
    """The standard deviation of each image (B, …), as (B, 1, 1, …)."""
    return x.flatten(1).std(dim=1).view(-1, *[1] * (x.ndim - 1))
