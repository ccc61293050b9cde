"""The training loop, as a generator: the caller's own loop decides what happens between two steps."""

import math
import time
from collections.abc import Callable, Iterable, Iterator

from torch import Tensor
from tqdm import tqdm

from aigc_lib.runtime import is_main_process


def fit(
    update: Callable[[tuple], dict[str, Tensor]],
    batches: Iterable[tuple],
    *,
    steps: int | None = None,
    seconds: float | None = None,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Call `update(batch)` for `steps` batches or for `seconds`, and yield (step, logs) after each call.

    update changes the parameters and returns named scalars; logs are the same as floats, step counts
    from 1. Raises ValueError unless exactly one of steps, seconds is given, and FloatingPointError
    as soon as a scalar is not finite, so that a broken run never looks like a finished one.
    """
    if (steps is None) == (seconds is None):
        raise ValueError(f"steps={steps}, seconds={seconds}: expected exactly one of them")
    limit = steps if steps is not None else seconds
    if limit <= 0:
        raise ValueError(f"{'steps' if steps is not None else 'seconds'}={limit}: expected more than 0")
    return _loop(update, batches, steps, seconds)


def _loop(update, batches, steps, seconds):
    start = time.perf_counter()
    with tqdm(total=steps, unit="step", mininterval=0.5, leave=False, disable=not is_main_process()) as bar:
        for step, batch in enumerate(batches, start=1):
            logs = {name: value.detach().item() for name, value in update(batch).items()}
            broken = [name for name, value in logs.items() if not math.isfinite(value)]
            if broken:
                raise FloatingPointError(f"{broken[0]} is {logs[broken[0]]} at step {step}: expected finite numbers")
            bar.update()
            yield step, logs
            if step == steps or (seconds is not None and time.perf_counter() - start >= seconds):
                return


def progress(*, steps: int | None = None, seconds: float | None = None) -> Callable[[int], float]:
    """A function of the step (from 0) that says how much of the budget is used, in [0, 1].

    With `seconds` the clock starts at the first call.
    """
    start = None

    def used(step: int) -> float:
        nonlocal start
        start = time.perf_counter() if start is None else start
        return min(step / steps if steps is not None else (time.perf_counter() - start) / seconds, 1.0)

    return used


def warmup_cosine(fraction: float, warmup: float = 0.05) -> float:
    """A learning-rate factor: up linearly to 1 during `warmup`, then down a half cosine to 0 at fraction 1."""
    if fraction < warmup:
        return (fraction + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))
