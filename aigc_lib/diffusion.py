"""The forward process of diffusion, and what can be computed from it exactly.

A schedule is one tensor alpha_bar (n,), float64: the share of the signal's variance
that is left at each time. Times t are int64 in [0, n); t = 0 is the first step, which
adds the least noise. `at(alpha_bar, t, x)` gives a schedule's values the shape of x.

Ho et al. 2020, arXiv:2006.11239; v is that of Salimans & Ho 2022, arXiv:2202.00512.
"""

import math

import torch
from torch import Tensor

KINDS = ("eps", "x0", "v")


def linear_schedule(n: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """The schedule whose variances beta_t rise on a line (Ho et al. 2020)."""
    return from_betas(torch.linspace(first, last, n, dtype=torch.float64))


def cosine_schedule(n: int = 1000, s: float = 0.008, most: float = 0.999) -> Tensor:
    """The schedule that falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17).

    arXiv:2102.09672. No step's variance is larger than `most`.
    """
    u = torch.arange(n + 1, dtype=torch.float64) / n
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return from_betas((1 - f[1:] / f[:-1]).clamp(max=most))


def scaled_linear_schedule(
    n: int = 1000, first: float = 0.00085, last: float = 0.012
) -> Tensor:
    """Stable Diffusion's: the roots of the variances rise on a line, not to the end."""
    roots = torch.linspace(first**0.5, last**0.5, n, dtype=torch.float64)
    return from_betas(roots**2)


def zero_terminal_snr(alpha_bar: Tensor, least: float = 1e-12) -> Tensor:
    """A schedule (n,) shifted and stretched, so that no signal is left at the end.

    The roots of alpha_bar keep their first value and end at 0 (Lin et al. 2023,
    arXiv:2305.08891, algorithm 1); `least` stands for 0, so that eps can be computed.
    """
    roots = expect_schedule(alpha_bar).sqrt()
    if len(roots) < 2:
        raise ValueError(f"schedule of {len(roots)} time: expected at least 2")
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return stretched.square().clamp(min=least)


def from_betas(betas: Tensor) -> Tensor:
    """The schedule of step variances (n,): alpha_bar_t, the product of 1 - beta_s.

    Raises ValueError unless each lies between 0 and 1.
    """
    if betas.ndim != 1 or len(betas) < 1 or not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(
            f"step variances of shape {tuple(betas.shape)} from {_range(betas)}: "
            "expected (n,), each between 0 and 1"
        )
    return (1 - betas.double()).cumprod(0)


def expect_schedule(alpha_bar: Tensor) -> Tensor:
    """`alpha_bar`; ValueError unless it is (n,), between 0 and 1, and always falls."""
    listed = alpha_bar.ndim == 1 and len(alpha_bar) > 0
    falls = listed and bool((alpha_bar.diff() < 0).all())
    if not falls or not bool(((alpha_bar > 0) & (alpha_bar < 1)).all()):
        raise ValueError(
            f"schedule of shape {tuple(alpha_bar.shape)} from {_range(alpha_bar)}: "
            "expected (n,), between 0 and 1, each value below the one before"
        )
    return alpha_bar


def expect_times(t: Tensor, n: int) -> Tensor:
    """`t`; ValueError unless it holds whole numbers from 0 to n - 1."""
    if t.dtype != torch.int64 or (
        t.numel() and not 0 <= int(t.min()) <= int(t.max()) < n
    ):
        raise ValueError(
            f"times of type {t.dtype} from {_range(t)}: "
            f"expected int64 from 0 to {n - 1}"
        )
    return t


def at(alpha_bar: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """The values of a schedule at times t (B,), as (B, 1, 1, …) like x (B, …).

    t may also be (1,), one time for all.
    """
    if t.shape not in (x.shape[:1], (1,)):
        raise ValueError(
            f"t {tuple(t.shape)}, x {tuple(x.shape)}: expected one time for each"
        )
    values = alpha_bar.to(t.device)[expect_times(t, len(alpha_bar))]
    return values.to(x.dtype).to(x.device).view(-1, *[1] * (x.ndim - 1))


def betas(alpha_bar: Tensor) -> Tensor:
    """The variance (n,) that each step adds: 1 - alpha_bar_t / alpha_bar_(t-1)."""
    return 1 - alpha_bar / previous(alpha_bar)


def previous(alpha_bar: Tensor) -> Tensor:
    """alpha_bar_(t-1) at each t: (n,). Before the first step stands the datum: 1."""
    return torch.cat((torch.ones_like(alpha_bar[:1]), alpha_bar[:-1]))


def snr(alpha_bar: Tensor) -> Tensor:
    """The signal-to-noise ratio alpha_bar / (1 - alpha_bar) at each time."""
    return alpha_bar / (1 - alpha_bar)


def q_sample(x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t of q(x_t | x_0), in one step: x0 (B, …), t (B,), eps like x0.

    sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, eq. 4).
    """
    if x0.shape != eps.shape or t.shape != x0.shape[:1]:
        raise ValueError(
            f"x0 {tuple(x0.shape)}, eps {tuple(eps.shape)}, t {tuple(t.shape)}: "
            "expected eps like x0, and one time for each"
        )
    a = at(alpha_bar, t, x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def target(kind: str, x0: Tensor, t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network of this kind is trained to say at x_t: eps, x0, or v.

    v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0.
    """
    a = at(alpha_bar, t, x0)
    v = a.sqrt() * eps - (1 - a).sqrt() * x0
    return {"eps": eps, "x0": x0, "v": v}[_known(kind)]


def to_x0(
    kind: str, output: Tensor, xt: Tensor, t: Tensor, alpha_bar: Tensor
) -> Tensor:
    """The x0 that an output of this kind stands for; it undoes `target`."""
    a = at(alpha_bar, t, xt)
    if _known(kind) == "x0":
        return output
    if kind == "v":
        return a.sqrt() * xt - (1 - a).sqrt() * output
    return (xt - (1 - a).sqrt() * output) / a.sqrt()


def to_eps(x0: Tensor, xt: Tensor, t: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise that lies between x0 and x_t."""
    a = at(alpha_bar, t, xt)
    return (xt - a.sqrt() * x0) / (1 - a).sqrt()


def posterior(
    x0: Tensor, xt: Tensor, t: Tensor, alpha_bar: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean (B, …) and variance (B, 1, …) of q(x_(t-1) | x_t, x_0).

    Ho et al. 2020, eqs. 6 and 7. At t = 0 what comes before is x0 itself: variance 0.
    """
    # In the schedule's float64: in float32, 1 - alpha_bar is far off at first.
    before, beta = previous(alpha_bar), betas(alpha_bar)
    of_x0 = before.sqrt() * beta / (1 - alpha_bar)  # (n,)
    of_xt = (1 - beta).sqrt() * (1 - before) / (1 - alpha_bar)  # (n,)
    variance = (1 - before) / (1 - alpha_bar) * beta  # (n,)
    mean = at(of_x0, t, xt) * x0 + at(of_xt, t, xt) * xt
    return mean, at(variance, t, xt)


def optimal_denoiser(xt: Tensor, t: Tensor, data: Tensor, alpha_bar: Tensor) -> Tensor:
    """E[x_0 | x_t] when x_0 is one of `data` (N, …), each as probable: (B, …).

    Bayes' rule: the mean of the data, weighted by how probable each makes x_t. No
    network can have a smaller squared error on these data.
    """
    if data.shape[1:] != xt.shape[1:] or not len(data):
        raise ValueError(
            f"data {tuple(data.shape)}: expected one or more, each like those of xt, "
            f"{tuple(xt.shape)}"
        )
    a = at(alpha_bar, t, xt).flatten(1)  # (B, 1)
    points, noisy = data.flatten(1), xt.flatten(1)  # (N, P), (B, P)
    # |x_t - sqrt(a) x|^2 without the |x_t|^2 that is the same for all x.
    distance = a * points.square().sum(1) - 2 * a.sqrt() * (noisy @ points.T)
    weights = (-distance / (2 * (1 - a))).softmax(dim=1)  # (B, N)
    return (weights @ points).view_as(xt)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    return kind


def _range(x: Tensor) -> str:
    if not x.numel():
        return "nothing"
    return f"{float(x.min()):g} to {float(x.max()):g}"
