"""The training loop, as a generator.

The caller's own loop decides what happens between two steps.
"""

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
    """Call `update(batch)` for `steps` batches or for `seconds`; yield (step, logs).

    update changes the parameters and returns named scalars; after each call, logs are
    the same as floats, and step counts from 1. Raises ValueError unless exactly one of
    steps, seconds is given, and FloatingPointError as soon as a scalar is not finite,
    so that a broken run never looks like a finished one.
    """
    if (steps is None) == (seconds is None):
        raise ValueError(
            f"steps={steps}, seconds={seconds}: expected exactly one of them"
        )
    name, limit = ("seconds", seconds) if steps is None else ("steps", steps)
    if limit <= 0:
        raise ValueError(f"{name}={limit}: expected more than 0")
    return _loop(update, batches, steps, seconds)


def _loop(update, batches, steps, seconds):
    start = time.perf_counter()
    hidden = not is_main_process()
    bar = tqdm(total=steps, unit="step", mininterval=0.5, leave=False, disable=hidden)
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
