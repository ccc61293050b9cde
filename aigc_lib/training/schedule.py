"""Learning rates: an optimizer's own one is the peak; they rise briefly, then fall."""

import math
import time
from collections.abc import Callable, Iterable

from torch.optim import Optimizer


def warmup_cosine(fraction: float, warmup: float = 0.05) -> float:
    """A learning-rate factor: up linearly to 1 during `warmup`, then down to 0.

    It goes down along a half cosine and reaches 0 at fraction 1.
    """
    if fraction < warmup:
        return (fraction + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))


def linear_decay(fraction: float, last: float = 0.6) -> float:
    """A learning-rate factor: 1 at first, then down to 0 on a line.

    It goes down during the share `last` of the budget, and reaches 0 at fraction 1.
    """
    return min(1.0, (1 - fraction) / last)


def scheduler(
    optimizers: Iterable[Optimizer],
    rate: Callable[[float], float] = warmup_cosine,
    *,
    steps: int | None = None,
    seconds: float | None = None,
) -> Callable[[int], None]:
    """A function of the step (from 0) that sets every learning rate for it.

    The rate is the one that the optimizer was made with times `rate` of the budget that
    is used, such as `warmup_cosine`.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    used = progress(steps=steps, seconds=seconds)

    def set_rates(step: int) -> None:
        factor = rate(used(step))
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * factor

    return set_rates


def progress(
    *, steps: int | None = None, seconds: float | None = None
) -> Callable[[int], float]:
    """A function of the step (from 0) that says how much budget is used, in [0, 1].

    With `seconds` the clock starts at the first call.
    """
    start = None

    def used(step: int) -> float:
        nonlocal start
        start = time.perf_counter() if start is None else start
        if steps is not None:
            return min(step / steps, 1.0)
        return min((time.perf_counter() - start) / seconds, 1.0)

    return used
