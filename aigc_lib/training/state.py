"""The state of an interrupted run: saved in full precision, put back in its place."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from aigc_lib.training.checkpoint import (
    copy_tensors,
    expect_same_tensors,
    named_tensors,
)
from aigc_lib.training.files import CheckpointError, read_sealed, write_sealed

Parts = dict[str, nn.Module | Optimizer]


def save_state(parts: Parts, path: Path, identity: dict, step: int) -> None:
    """Write the tensors of every part and torch's random state, after step `step`.

    identity: what must be equal in a run that goes on from this file.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in (_tensors(parts) | _random_states()).items()
    }
    write_sealed(path, tensors, {"step": step, "identity": identity})


def autosaver(parts: Parts, path: Path, identity: dict) -> Callable[[int], bool]:
    """A function of the step that calls `save_state` and tells whether that worked.

    A full disk does not end a training: the first failure is one line on stderr.
    """
    told = False

    def save(step: int) -> bool:
        nonlocal told
        try:
            save_state(parts, path, identity, step)
        except OSError as error:
            if not told:
                warning = f"warning: the state is not saved: {error}"
                tqdm.write(warning, file=sys.stderr)  # above the progress bar
            told = True
            return False
        return True

    return save


def expect_no_state(path: Path) -> None:
    """Raise CheckpointError, which says how to go on, if a run left its state here."""
    if not path.exists():
        return
    otherwise = "choose another folder, or delete the file to start anew"
    try:
        _, theirs, step = _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}: {otherwise}") from error
    raise CheckpointError(
        f"{path} is what an interrupted run left after step {step}: go on with "
        f"--resume --steps {theirs.get('steps')} --seed {theirs.get('seed')} in "
        f"{theirs.get('precision')} on the same data, or {otherwise}"
    )


def load_state(parts: Parts, path: Path, identity: dict) -> int:
    """Put a saved state back into `parts` and torch; return the step it was saved at.

    The values are copied into the tensors that the parts have, so that these keep
    their memory layout: a fused Adam pairs memory, not elements. Raises
    CheckpointError for a file that is missing, damaged or of another run.
    """
    if not path.exists():
        raise CheckpointError(
            f"nothing to resume: {path} does not exist; start without --resume"
        )
    saved, theirs, step = _read(path)
    _expect_same_run(path, theirs, identity)
    for name, part in parts.items():
        if isinstance(part, Optimizer):
            _begin(part, [key for key in saved if key.startswith(f"{name}/")])
    own = _tensors(parts)
    random = _random_states()
    expect_same_tensors(f"saved state {path}", saved, own | random)
    copy_tensors(saved, own)
    torch.set_rng_state(saved["random/cpu"])
    if "random/cuda" in random:
        torch.cuda.set_rng_state(saved["random/cuda"])
    return step


def _read(path: Path) -> tuple[dict[str, Tensor], dict, int]:
    """The tensors of a state file, whose run it is, and the step it was saved at."""
    tensors, about = read_sealed("saved state", path)
    try:
        return tensors, dict(about["identity"]), int(about["step"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"saved state {path} does not say of which run and step it is"
        ) from error


def _expect_same_run(path: Path, theirs: dict, ours: dict) -> None:
    for key in ours | theirs:
        if theirs.get(key) != ours.get(key):
            raise CheckpointError(
                f"saved state {path} belongs to another run: "
                f"{key} is {theirs.get(key)!r} there, expected {ours.get(key)!r}"
            )


def _tensors(parts: Parts) -> dict[str, Tensor]:
    """The parts' own tensors: of a module by name, of an optimizer by parameter."""
    found = {}
    for name, part in parts.items():
        if isinstance(part, Optimizer):
            for i, parameter in enumerate(_parameters(part)):
                for field, value in part.state.get(parameter, {}).items():
                    found[f"{name}/{i}/{field}"] = value
        else:
            found |= {f"{name}/{key}": t for key, t in named_tensors(part).items()}
    return found


def _begin(optimizer: Optimizer, keys: list[str]) -> None:
    """Let the optimizer build the state that `keys` name: it does so at a first step.

    That step has zero gradients; what it does to the parameters is overwritten.
    """
    indices = {key.split("/")[1] for key in keys}
    for i, parameter in enumerate(_parameters(optimizer)):
        if str(i) in indices:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _random_states() -> dict[str, Tensor]:
    """The states of torch's global random generators, from which dropout draws."""
    states = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["random/cuda"] = torch.cuda.get_rng_state()
    return states
