"""The state of an interrupted run: saved in full precision, put back in its place."""

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from aigc_lib.training.checkpoint import (
    CheckpointError,
    copy_tensors,
    expect_same_tensors,
    named_tensors,
    read_safetensors,
    write_atomically,
)

Parts = dict[str, nn.Module | Optimizer]


def save_state(parts: Parts, path: Path, identity: dict, step: int) -> None:
    """Write the tensors of every part and torch's random state, after step `step`.

    identity: what must be equal in a run that goes on from this file.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in (_tensors(parts) | _random_states()).items()
    }
    metadata = {"step": str(step), "identity": json.dumps(identity, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_state(parts: Parts, path: Path, identity: dict) -> int:
    """Put a saved state back into `parts` and torch; return the step it was saved at.

    The values are copied into the tensors that the parts have, so that these keep
    their memory layout: a fused Adam pairs memory, not elements. Raises
    CheckpointError for a file that is missing, damaged or of another run.
    """
    saved, step = _read(path, identity)
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


def _read(path: Path, identity: dict) -> tuple[dict[str, Tensor], int]:
    """The tensors and the step of a state file of the run with this identity."""
    try:
        tensors, metadata = read_safetensors(path.read_bytes())
        step, theirs = int(metadata["step"]), json.loads(metadata["identity"])
    except FileNotFoundError as error:
        raise CheckpointError(f"nothing to resume: {path} does not exist") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"saved state {path} is damaged: {error}") from error
    for key in identity | theirs:
        if theirs.get(key) != identity.get(key):
            raise CheckpointError(
                f"saved state {path} belongs to another run: "
                f"{key} is {theirs.get(key)!r} there, expected {identity.get(key)!r}"
            )
    return tensors, step


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
