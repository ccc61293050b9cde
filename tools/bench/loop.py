"""What the contenders of the races share: a loop by the clock, and our recipes with one thing taken back."""

import os
from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer

from aigc_lib import runtime
from aigc_lib.fit import fit
from aigc_lib.training.run import Job, accelerate
from aigc_lib.training.schedule import scheduler
from aigc_lib.training.splits import Splits


def run_for(seconds: float, update: Callable, batches: Iterable, scheduled: Iterable[Optimizer] = ()) -> int:
    """Update for `seconds`; the learning rates of `scheduled` follow our recipes' schedule. Returns the steps."""
    set_rates = scheduler(scheduled, seconds=seconds)

    def one(numbered: tuple) -> dict:
        step, batch = numbered
        set_rates(step)
        return update(batch)

    for step, _ in fit(one, enumerate(batches), seconds=seconds):  # noqa: B007
        pass
    return step


def on_device(batch: tuple) -> tuple:
    """The tensors of a batch on this process's device, the rest as it is."""
    device = runtime.device()
    return tuple(part.to(device) if isinstance(part, torch.Tensor) else part for part in batch)


def ablation(
    prepare: Callable[..., Job],
    splits: Splits,
    seconds: float,
    seed: int,
    *,
    changed: Callable[[Job], None] = lambda job: None,
    schedule: bool = True,
    fp32: bool = False,
) -> tuple[int, Job]:
    """Train what `prepare(splits, accelerator, rng)` returns, as recipes are trained. Returns the steps and the job.

    changed(job) may alter it first; without `schedule` the learning rates stay at their peak.
    """
    if fp32:
        os.environ["AIGC_PRECISION"] = "fp32"  # before it is asked for
    torch.manual_seed(seed)
    job = prepare(splits, accelerate(), torch.Generator().manual_seed(seed))
    changed(job)
    optimizers = [part for part in job.parts.values() if isinstance(part, Optimizer)]
    batches = map(on_device, job.batches)
    return run_for(seconds, job.update, batches, optimizers if schedule else ()), job
