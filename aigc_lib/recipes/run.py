"""What recipes share: device, data parallelism, a loop that survives interruption.

Accelerate chooses the device, casts to the precision that `runtime` measured, and
averages gradients between processes. A recipe draws all its randomness in one stream
of batches, so that a run is resumed by skipping what it has seen, and so that every
process sees the same stream and takes its own rows of it.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import safetensors.torch
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from aigc_lib import runtime
from aigc_lib.fit import fit
from aigc_lib.recipes.checkpoint import CheckpointError, write_atomically


def accelerator() -> Accelerator:
    """Accelerate's handle on device and processes, in the precision of `runtime`."""
    mixed = "bf16" if runtime.precision() == "bf16" else "no"
    return Accelerator(cpu=runtime.device().type == "cpu", mixed_precision=mixed)


def my_rows(batch: Tensor, accelerator: Accelerator) -> Tensor:
    """This process's rows of a batch (B, ...): every `num_processes`-th of them."""
    if len(batch) % accelerator.num_processes:
        raise ValueError(
            f"batch of {len(batch)} rows: expected a multiple of "
            f"{accelerator.num_processes} processes"
        )
    return batch[accelerator.process_index :: accelerator.num_processes].to(
        accelerator.device
    )


def mean_over_processes(
    parts: dict[str, Tensor], accelerator: Accelerator
) -> dict[str, Tensor]:
    """Named scalars averaged over all processes: the loss of the global batch."""
    return {
        name: accelerator.reduce(value.detach(), "mean")
        for name, value in parts.items()
    }


def resumable(
    update,
    stream: Iterable[tuple],
    parts: dict[str, nn.Module | torch.optim.Optimizer],
    path: Path,
    identity: dict,
    *,
    steps: int | None,
    seconds: float | None,
    resume: bool,
    accelerator: Accelerator,
    save_every: int = 500,
) -> Iterator[tuple[int, dict[str, float]]]:
    """`fit` that saves its state to `path`, and can go on from it.

    The state is saved every `save_every` steps and when the run is stopped. parts: what
    has a state, by name; identity: what must be equal in a run that goes on. Yields
    (step, logs) with the step counted from the very first run. Raises ValueError for
    `resume` with `seconds`, and CheckpointError when there is no state to go on from,
    it is damaged, or it belongs to another run.
    """
    if resume and steps is None:
        raise ValueError(
            "resume with seconds: expected steps, since only these say how much is left"
        )
    start = load_state(parts, path, identity) if resume else 0
    if start == steps:
        raise ValueError(f"resume: all {steps} steps are done already")
    left = None if steps is None else steps - start
    step = start
    try:
        for count, logs in fit(
            update, islice(stream, start, None), steps=left, seconds=seconds
        ):
            step = start + count
            if step % save_every == 0 and accelerator.is_main_process:
                save_state(parts, path, identity, step)
            yield step, logs
    except KeyboardInterrupt:
        if accelerator.is_main_process and step > start:
            save_state(parts, path, identity, step)
        raise


def last_step(loop: Iterator[tuple[int, dict[str, float]]]) -> int:
    """Run a loop to its end; returns the number of its last step."""
    for step, _ in loop:  # noqa: B007
        pass
    return step


def save_state(
    parts: dict[str, nn.Module | torch.optim.Optimizer],
    path: Path,
    identity: dict,
    step: int,
) -> None:
    """Write the tensors of every part, in full precision, with step and identity."""
    tensors = {}
    for name, part in parts.items():
        for key, value in _tensors(part).items():
            tensors[f"{name}/{key}"] = value.detach().cpu().contiguous().clone()
    metadata = {"step": str(step), "identity": json.dumps(identity, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_state(
    parts: dict[str, nn.Module | torch.optim.Optimizer], path: Path, identity: dict
) -> int:
    """Put a saved state back into `parts`; return the step it was saved at."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"nothing to resume: {path} does not exist") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"saved state {path} is damaged: {error}") from error
    saved = json.loads(metadata.get("identity", "{}"))
    for key in identity | saved:
        if saved.get(key) != identity.get(key):
            raise CheckpointError(
                f"saved state {path} belongs to another run: "
                f"{key} is {saved.get(key)!r} there, "
                f"expected {identity.get(key)!r}"
            )
    for name, part in parts.items():
        own = {
            key.split("/", 1)[1]: value
            for key, value in tensors.items()
            if key.startswith(f"{name}/")
        }
        if isinstance(part, torch.optim.Optimizer):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in own.items():
                index, field = key.split("/")
                state.setdefault(int(index), {})[field] = value
            part.load_state_dict({**part.state_dict(), "state": state})
            for (
                parameter,
                fields,
            ) in (
                part.state.items()
            ):  # fused optimizers want the parameter's own memory layout
                for field, value in fields.items():
                    if value.shape == parameter.shape:
                        fields[field] = torch.empty_like(parameter).copy_(value)
        else:
            part.load_state_dict(own)
    return int(metadata["step"])


def _tensors(part: nn.Module | torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of a module by name, of an optimizer by parameter index and field."""
    if isinstance(part, torch.optim.Optimizer):
        state = part.state_dict()["state"]
        return {
            f"{i}/{field}": torch.as_tensor(v)
            for i, fields in state.items()
            for field, v in fields.items()
        }
    return part.state_dict()
