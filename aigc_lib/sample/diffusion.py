"""From noise to samples, step by step; what takes the noise away is an argument.

A denoiser says which x0 it expects: (x_t (B, …), t (B,)) -> x0 (B, …). All samplers
yield (x, x0) after each step, so the caller's loop draws, measures and stops; `last`
gives the end. `times` are those of `timesteps`, or any others that fall: from each, a
step leads to the next one, and from the last to the datum, where alpha_bar is 1.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from aigc_lib import diffusion

Denoiser = Callable[[Tensor, Tensor], Tensor]
Steps = Iterator[tuple[Tensor, Tensor]]


def denoiser(
    model: nn.Module, alpha_bar: Tensor, y: Tensor | None = None, clip: bool = False
) -> Denoiser:
    """The x0 that a network expects, for classes y (B,) if given.

    model.kind names what it says: eps, x0 or v. clip: keep x0 in [-1, 1].
    """

    @torch.no_grad()
    def denoise(xt: Tensor, t: Tensor) -> Tensor:
        output = model(xt, t) if y is None else model(xt, t, y)
        x0 = diffusion.to_x0(model.kind, output.to(xt.dtype), xt, t, alpha_bar)
        return x0.clamp(-1, 1) if clip else x0

    return denoise


def timesteps(n: int, steps: int) -> Tensor:
    """`steps` of the times 0 … n-1, evenly spaced, from n-1 down: (steps,) int64.

    The spacing that diffusers calls "trailing" (Lin et al. 2023, arXiv:2305.08891).
    """
    if not 1 <= steps <= n:
        raise ValueError(f"{steps} sampling steps: expected 1 to {n}, the training's")
    fall = torch.arange(steps, dtype=torch.float64) * n / steps
    return (n - fall).round().long() - 1


def last(samples: Steps) -> Tensor:
    """The x of the last step."""
    x = None
    for x, _ in samples:  # noqa: B007
        pass
    if x is None:
        raise ValueError("no steps: expected at least one time")
    return x


def ancestral(
    denoise: Denoiser, x: Tensor, alpha_bar: Tensor, generator: torch.Generator
) -> Steps:
    """DDPM: every time from n-1 to 0, with noise at each step but the last.

    Ho et al. 2020, arXiv:2006.11239, algorithm 2, with the variance of the posterior.
    """
    for t in range(len(diffusion.expect_schedule(alpha_bar)) - 1, -1, -1):
        now = _full(x, t)
        x0 = denoise(x, now)
        x, variance = diffusion.posterior(x0, x, now, alpha_bar)
        if t > 0:
            x = x + variance.sqrt() * _noise(x, generator)
        yield x, x0


def ddim(
    denoise: Denoiser,
    x: Tensor,
    alpha_bar: Tensor,
    times: Tensor,
    *,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Steps:
    """Keep the noise and use less of it (Song et al. 2021, arXiv:2010.02502, eq. 12).

    eta = 0 draws nothing: noise x fixes the sample. eta = 1, over all times, is
    `ancestral`. Raises ValueError for another eta than 0 to 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta {eta}: expected 0, no noise, to 1, that of DDPM")
    for t, a, b in _pairs(alpha_bar, times):
        now = _full(x, t)
        x0 = denoise(x, now)
        eps = diffusion.to_eps(x0, x, now, alpha_bar)
        sigma = eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))
        x = math.sqrt(b) * x0 + math.sqrt(max(1 - b - sigma**2, 0.0)) * eps
        if sigma > 0:
            x = x + sigma * _noise(x, generator)
        yield x, x0


def dpm_solver(denoise: Denoiser, x: Tensor, alpha_bar: Tensor, times: Tensor) -> Steps:
    """DPM-Solver++ 2M: x0 is continued on the line through its last two values.

    Lu et al. 2022, arXiv:2211.01095, algorithm 2; lambda is half the logarithm of the
    signal-to-noise ratio. The first and the last step are those of DDIM.
    """
    old, old_h = None, math.inf
    for t, a, b in _pairs(alpha_bar, times):
        x0 = denoise(x, _full(x, t))
        h = _half_log_snr(b) - _half_log_snr(a)  # infinite at the last step
        line = x0
        if old is not None and h < math.inf:
            line = x0 + (x0 - old) * (h / (2 * old_h))
        x = math.sqrt((1 - b) / (1 - a)) * x - math.sqrt(b) * math.expm1(-h) * line
        old, old_h = x0, h
        yield x, x0


def invert(denoise: Denoiser, x0: Tensor, alpha_bar: Tensor, times: Tensor) -> Steps:
    """The noise from which DDIM (eta = 0) draws x0, about: its steps made backwards.

    Each step asks the denoiser at the time it comes from in place of the one it goes
    to, so the error shrinks with their number.
    """
    pairs = list(_pairs(alpha_bar, times))
    x, now = x0, pairs[-1][0]
    for t, a, b in reversed(pairs):
        found = denoise(x, _full(x, now))
        eps = diffusion.to_eps(found, x, _full(x, now), alpha_bar)
        clean = x if b == 1 else found  # the datum itself needs no estimate
        x = math.sqrt(a) * clean + math.sqrt(1 - a) * eps
        now = t
        yield x, clean


def inpaint(
    denoise: Denoiser,
    x: Tensor,
    known: Tensor,
    mask: Tensor,
    alpha_bar: Tensor,
    times: Tensor,
    *,
    repeats: int = 5,
    generator: torch.Generator | None = None,
) -> Steps:
    """Fill in where mask is 0; where it is 1, the sample is `known`.

    RePaint (Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1): what is known gets
    the noise of each step, and each step is gone back and made again, `repeats` times
    in all, so that both parts come to agree. Raises ValueError for less than one time.
    """
    if repeats < 1:
        raise ValueError(f"repeats {repeats}: expected at least 1")
    _expect_known(x, known, mask)
    for t, a, b in _pairs(alpha_bar, times):
        for repeat in range(repeats if b < 1 else 1):
            if repeat:
                x = math.sqrt(a / b) * x + math.sqrt(1 - a / b) * _noise(x, generator)
            x0 = denoise(x, _full(x, t))
            eps = diffusion.to_eps(x0, x, _full(x, t), alpha_bar)
            sigma = math.sqrt((1 - b) / (1 - a) * (1 - a / b))
            x = math.sqrt(b) * x0 + math.sqrt(max(1 - b - sigma**2, 0.0)) * eps
            x = x + sigma * _noise(x, generator)
            seen = math.sqrt(b) * known + math.sqrt(1 - b) * _noise(x, generator)
            x = torch.where(mask.bool(), seen, x)
        yield x, x0


def _pairs(alpha_bar: Tensor, times: Iterable) -> Iterator[tuple[int, float, float]]:
    """(t, alpha_bar at t, alpha_bar where the step leads) for each time in turn."""
    diffusion.expect_schedule(alpha_bar)
    times = torch.as_tensor(times)
    diffusion.expect_times(times, len(alpha_bar))
    if times.ndim != 1 or not len(times) or bool((times.diff() >= 0).any()):
        raise ValueError(
            f"times {times.tolist()}: expected a list that falls, at least one"
        )
    levels = [*alpha_bar[times.cpu()].tolist(), 1.0]
    yield from zip(times.tolist(), levels, levels[1:], strict=False)


def _expect_known(x: Tensor, known: Tensor, mask: Tensor) -> None:
    """Raise ValueError for what `inpaint` cannot fill in."""
    for name, part in {"known": known, "mask": mask}.items():
        sides = zip(reversed(part.shape), reversed(x.shape), strict=False)
        if part.ndim > x.ndim or any(here not in (1, there) for here, there in sides):
            raise ValueError(
                f"{name} {tuple(part.shape)}: expected like x {tuple(x.shape)}"
            )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"mask from {float(mask.min()):g} to {float(mask.max()):g}: expected only "
            "0, to fill in, and 1, known"
        )


def _half_log_snr(a: float) -> float:
    return math.inf if a == 1 else 0.5 * math.log(a / (1 - a))


def _full(x: Tensor, t: int) -> Tensor:
    return torch.full((len(x),), t, device=x.device)


def _noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal like x; from the CPU, so that a seed gives the same anywhere."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
