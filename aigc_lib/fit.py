"""The training loop, as a generator.

The caller's own loop decides what happens between two steps.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral

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
    """Call `update(batch)` for `steps` batches or for `seconds`; yield (step, logs).

    update changes the parameters and returns named scalars; after each call, logs are
    the same as floats, and step counts from 1. Raises ValueError unless exactly one of
    steps, seconds is given, whole or finite and more than 0, and when the batches run
    out before; FloatingPointError as soon as a scalar is not finite. So a broken run
    never looks like a finished one, and every run ends.
    """
    if (steps is None) == (seconds is None):
        raise ValueError(
            f"steps={steps}, seconds={seconds}: expected exactly one of them"
        )
    if steps is not None and not (isinstance(steps, Integral) and steps > 0):
        raise ValueError(f"steps={steps}: expected a whole number, more than 0")
    if seconds is not None and not 0 < seconds < math.inf:  # false for nan, too
        raise ValueError(f"seconds={seconds}: expected a finite number, more than 0")
    return _loop(update, batches, steps, seconds)


def _loop(update, batches, steps, seconds):
    start = time.perf_counter()
    hidden = not is_main_process()
    bar = tqdm(total=steps, unit="step", mininterval=0.5, leave=False, disable=hidden)
    step = 0
    with bar:
        for step, batch in enumerate(batches, start=1):
            scalars = update(batch)
            logs = {name: value.detach().item() for name, value in scalars.items()}
            for name, value in logs.items():
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"{name} is {value} at step {step}: expected finite numbers"
                    )
            bar.update()
            yield step, logs
            used = time.perf_counter() - start
            if step == steps or (seconds is not None and used >= seconds):
                return
    limit = f"seconds={seconds}" if steps is None else f"steps={steps}"
    raise ValueError(f"only {step} batches came: expected enough for {limit}")


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


def warmup_cosine(fraction: float, warmup: float = 0.05) -> float:
    """A learning-rate factor: up linearly to 1 during `warmup`, then down to 0.

    It goes down along a half cosine and reaches 0 at fraction 1.
    """
    if fraction < warmup:
        return (fraction + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))
