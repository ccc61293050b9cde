"""One training run of any recipe, from the seed to the checkpoint.

A recipe draws all its random numbers in one stream of batches, so that a run is resumed
by drawing and skipping what it has seen, and so that every process sees the same stream
and takes its own rows of it. Accelerate chooses the device, casts to the precision that
`runtime` measured, and averages gradients between processes.

The learning rate: a recipe makes its optimizers with the highest one, and `run` scales
it at every step by `schedule.warmup_cosine`.

What a run leaves behind: NAME.safetensors and NAME.json at its end. A run that is
killed leaves those of the run before as they were, NAME.state.safetensors of the last
saved step, from which `resume` goes on, and perhaps two hidden files: .NAME.lock, which
nobody holds any more, and a half-written one. The next run removes both.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from aigc_lib import runtime
from aigc_lib.fit import fit
from aigc_lib.training.checkpoint import save_checkpoint
from aigc_lib.training.files import only_run
from aigc_lib.training.interrupt import one_more_step
from aigc_lib.training.schedule import scheduler
from aigc_lib.training.splits import Splits
from aigc_lib.training.state import autosaver, expect_no_state, load_state

Watch = Callable[[int, tuple, dict[str, Tensor]], None]


@dataclass(frozen=True)
class Job:
    """What a recipe's `prepare` returns: all that `run` needs to train.

    model: what to keep. parts: what has a state, by name; the learning rate of each
    optimizer among them is its peak. batches: an endless stream of tuples; `run` gives
    each process its rows of their tensors, on the device, and the rest as it is.
    update: changes the parameters and returns named scalars.
    """

    model: nn.Module
    parts: dict[str, nn.Module | Optimizer]
    batches: Iterable[tuple]
    update: Callable[[tuple], dict[str, Tensor]]


def run(
    recipe: ModuleType,
    splits: Splits,
    path: Path,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    resume: bool = False,
    leans_on: dict[str, str] | None = None,
    save_every: int = 500,
    watch: Watch | None = None,
) -> Path:
    """Train `recipe` on `splits` and write the checkpoint `path`, folder/NAME.suffix.

    A run by steps saves its state beside it every `save_every` steps, at the end and at
    a Ctrl-C; `resume` goes on there. leans_on: the checksums of the checkpoints that
    the metrics use. watch(step, batch, logs) is called after each update. Raises before
    any training: ValueError; OSError when `path` cannot be written or another run
    writes it; CheckpointError when there is nothing to resume, or something and
    `resume` is not asked for. OSError also when the checkpoint itself does not fit.
    """
    began = time.perf_counter()
    torch.manual_seed(runtime.valid_seed(seed))
    accelerator = accelerate()
    check_limits(steps, seconds, save_every, resume, accelerator.num_processes)
    state = path.with_suffix(".state.safetensors")
    written = (path, path.with_suffix(".json"), state)
    main = accelerator.is_main_process
    with only_run(*written) if main else nullcontext():
        if main and not resume:
            expect_no_state(state)
        job = recipe.prepare(splits, accelerator, torch.Generator().manual_seed(seed))
        identity = _identity(path.stem, steps, seed, splits.sha256)
        start = load_state(job.parts, state, identity) if resume else 0
        updates = _updates(job, accelerator, start, steps, seconds, watch)
        keeps = main and steps is not None
        save = autosaver(job.parts, state, identity) if keeps else None
        done = _to_the_end(updates, start, steps, save, save_every)
        if main:
            took = time.perf_counter() - began
            card = _card(identity, took, done, seconds, leans_on)
            card["metrics"] = recipe.metrics(job.model.eval(), splits)
            save_checkpoint(job.model, card, path)
            state.unlink(missing_ok=True)
    return path


def _identity(recipe: str, steps: int | None, seed: int, data: str) -> dict:
    """What must be equal in a run that goes on from the state of another."""
    run = {"recipe": recipe, "steps": steps, "seed": seed, "data_sha256": data}
    return {**run, "precision": runtime.precision()}


def _card(
    identity: dict, took: float, done: int, seconds: float | None, leans_on: dict | None
) -> dict:
    """What the checkpoint says of its training; the metrics are still missing."""
    return {
        **identity,
        **runtime.facts(),
        "budget": {"steps": identity["steps"], "seconds": seconds},
        "leans_on": leans_on or {},
        "steps": done,
        "seconds": round(took, 1),
    }


def _to_the_end(
    updates: Iterator[int],
    start: int,
    last: int | None,
    save: Callable[[int], bool] | None,
    every: int,
) -> int:
    """Make the updates after `start` and save now and then; returns how many there are.

    At a Ctrl-C the step that runs is finished and saved before KeyboardInterrupt.
    """
    step = saved = start
    with one_more_step() as interrupted:
        for step in updates:
            stop = interrupted()
            if save is not None and (stop or step % every == 0 or step == last):
                saved = step if save(step) else saved
            if stop:
                goes_on = f"--resume goes on after step {saved}" if saved else ""
                raise KeyboardInterrupt(goes_on)
    return step


def _updates(
    job: Job,
    accelerator: Accelerator,
    start: int,
    steps: int | None,
    seconds: float | None,
    watch: Watch | None,
) -> Iterator[int]:
    """Update from step `start` on; yield the number of updates, from the very first."""
    if start == steps:  # interrupted after the last one
        return
    optimizers = [part for part in job.parts.values() if isinstance(part, Optimizer)]
    set_rates = scheduler(optimizers, steps=steps, seconds=seconds)

    def update(numbered):
        step, batch = numbered
        set_rates(step)
        mine = tuple(_my_rows(part, accelerator) for part in batch)
        logs = _mean_over_processes(job.update(mine), accelerator)
        if watch is not None:
            watch(step + 1, mine, logs)
        return logs

    rest = islice(enumerate(job.batches), start, None)
    left = None if steps is None else steps - start
    for count, _ in fit(update, rest, steps=left, seconds=seconds):
        yield start + count


def accelerate() -> Accelerator:
    """Accelerate's handle on device and processes, in the precision of `runtime`.

    Raises ValueError when the environment names a rank (RANK) that no launcher gave.
    """
    mixed = "bf16" if runtime.precision() == "bf16" else "no"
    handle = Accelerator(cpu=runtime.device().type == "cpu", mixed_precision=mixed)
    if handle.process_index != runtime.process_index():
        raise ValueError(
            f"RANK={runtime.process_index()} in the environment, but this process was "
            "not started by accelerate launch: unset RANK, or use that"
        )
    return handle


def check_limits(
    steps: int | None,
    seconds: float | None,
    save_every: int,
    resume: bool,
    processes: int,
) -> None:
    """Raise ValueError for limits that cannot be kept."""
    if (steps is None) == (seconds is None) or not (steps or seconds or 0) > 0:
        raise ValueError(
            f"steps={steps}, seconds={seconds}: expected one of them, more than 0"
        )
    if save_every < 1:
        raise ValueError(f"save_every={save_every}: expected at least 1")
    if seconds is not None and resume:
        raise ValueError(
            "resume with seconds: expected steps, since only these say how much is left"
        )
    if seconds is not None and processes > 1:
        raise ValueError(
            f"seconds with {processes} processes: expected steps, since each process "
            "would stop by its own clock"
        )


def _my_rows(part: object, accelerator: Accelerator) -> object:
    """This process's rows of a tensor (B, ...): every `num_processes`-th of them."""
    if not isinstance(part, Tensor):
        return part
    if len(part) % accelerator.num_processes:
        raise ValueError(
            f"batch of {len(part)} rows: expected a multiple of "
            f"{accelerator.num_processes} processes"
        )
    return part[accelerator.process_index :: accelerator.num_processes].to(
        accelerator.device
    )


def _mean_over_processes(
    logs: dict[str, Tensor], accelerator: Accelerator
) -> dict[str, Tensor]:
    """Named scalars averaged over all processes: those of the global batch."""
    return {
        name: accelerator.reduce(value.detach(), "mean") for name, value in logs.items()
    }
