"""Steer a denoiser towards a condition; each function returns a denoiser again.

`guided` and `by_classifier` move x0 along a line, so they mean the same in eps, in v
and in the score. `rescaled` and `thresholded` do not: they look at the pixels of x0.
"""

import math

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
    _expect_finite(w)
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
    """Dynamic thresholding: cut x0 at the `share` quantile of |x0|, and divide by it.

    Where that quantile is at most 1, x0 is cut at -1 and 1 and not divided. So nothing
    outside is left (Saharia et al. 2022, arXiv:2205.11487, section 2.3).
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share}: expected more than 0, at most 1")

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        x0 = steered(xt, t)
        bound = x0.flatten(1).abs().quantile(share, dim=1).clamp(min=1)
        bound = _like(bound, x0)
        return x0.clamp(-bound, bound) / bound

    return denoise


def limited(steered: Denoiser, plain: Denoiser, first: int, end: int) -> Denoiser:
    """`steered` at times first <= t < end, and `plain` at all others.

    Kynkäänniemi et al. 2024, arXiv:2404.07724: guidance helps at middle noise levels.
    """
    if not 0 <= first < end:
        raise ValueError(f"times {first} to {end}: expected 0 <= first < end")

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        inside = (first <= t) & (t < end)
        if bool(inside.all()):
            return steered(xt, t)
        if not bool(inside.any()):  # most steps need one of the two
            return plain(xt, t)
        return torch.where(_like(inside, xt), steered(xt, t), plain(xt, t))

    return denoise


def by_classifier(
    plain: Denoiser, classifier: nn.Module, y: Tensor, w: float, alpha_bar: Tensor
) -> Denoiser:
    """Classifier guidance: the score plus w times the gradient of log p(y | x_t).

    classifier(x_t, t) gives logits (B, K) for noisy images; y (B,) is what is wanted.
    Adding w g to the score moves x0 by w (1 - alpha_bar) / sqrt(alpha_bar) g (Dhariwal
    & Nichol 2021, arXiv:2105.05233, algorithm 2).
    """
    _expect_finite(w)

    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        gradient = _gradient(classifier, xt, t, y)
        a = diffusion.at(alpha_bar, t, xt)
        return plain(xt, t) + w * (1 - a) / a.sqrt() * gradient

    return denoise


def _gradient(classifier: nn.Module, xt: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """The gradient of log p(y | x_t) with respect to x_t: like x_t."""
    with torch.enable_grad():
        x = xt.detach().requires_grad_()
        log_p = classifier(x, t).log_softmax(dim=1)  # (B, K)
        k = log_p.shape[1]
        if y.shape != xt.shape[:1] or not 0 <= int(y.min()) <= int(y.max()) < k:
            raise ValueError(
                f"classes of shape {tuple(y.shape)} from {int(y.min())} to "
                f"{int(y.max())}: expected ({len(xt)},), from 0 to {k - 1}"
            )
        # Each image's own term depends on that image alone, so a sum serves them all.
        return torch.autograd.grad(log_p.gather(1, y[:, None]).sum(), x)[0]


def _expect_finite(w: float) -> None:
    if not math.isfinite(w):
        raise ValueError(f"w {w}: expected a finite number")


def _deviation(x: Tensor) -> Tensor:
    """The standard deviation of each image (B, …), as (B, 1, 1, …)."""
    return _like(x.flatten(1).std(dim=1), x)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """One value for each image, (B,), as (B, 1, 1, …) like x."""
    return values.view(-1, *[1] * (x.ndim - 1))
