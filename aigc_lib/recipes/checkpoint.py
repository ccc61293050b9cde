"""Checkpoints: float16 safetensors with the card inside, written atomically, verified when read."""

import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

SHIPPED = Path(__file__).parent / "checkpoints"


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, or belongs to another model."""


def save_checkpoint(model: nn.Module, card: dict, path: Path) -> Path:
    """Write `model` (as float16) and `card` to `path`, and the card to `path` with suffix .json for readers.

    The file appears whole or not at all: an interrupted or failed write leaves what was there before.
    Raises OSError when it cannot be written and ValueError when a weight does not fit float16.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point():
            half = half.half()
            if not torch.isfinite(half).all():
                raise ValueError(f"weight {name} has values outside float16: expected finite numbers below 65504")
        state[name] = half
    text = json.dumps(card, indent=1, sort_keys=True)
    write_atomically(path, safetensors.torch.save(state, metadata={"card": text}))
    write_atomically(path.with_suffix(".json"), (text + "\n").encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at every moment either the old or the new content is there, whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_checkpoint(model: nn.Module, path: Path) -> dict:
    """Load `path` into `model`, in the model's own float type, and return the card.

    Raises CheckpointError, which names the file, when it is missing, damaged, or its tensors are not
    the model's; the model is then unchanged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            card = json.loads((file.metadata() or {})["card"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {path} does not exist; train it with: python -m aigc_lib.recipes train …"
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged or not a safetensors file: {error}") from error
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"checkpoint {path} has no readable card: it was not written by a recipe") from error
    _check_fits(model, state, path)
    model.load_state_dict(state)
    return card


def _check_fits(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError unless names, shapes and finiteness are right."""
    own = model.state_dict()
    if missing := sorted(own.keys() - state.keys()):
        raise CheckpointError(f"checkpoint {path} lacks tensor {missing[0]} (and {len(missing) - 1} more)")
    if extra := sorted(state.keys() - own.keys()):
        raise CheckpointError(f"checkpoint {path} has tensor {extra[0]} that the model lacks: another model's file")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"checkpoint {path}: tensor {name} has shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"checkpoint {path}: tensor {name} has values that are not finite")
