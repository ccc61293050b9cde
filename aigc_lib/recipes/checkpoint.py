"""Checkpoints: float16 safetensors with a card, written atomically, then verified."""

import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

SHIPPED = Path(__file__).parent / "checkpoints"


class CheckpointError(RuntimeError):
    """A checkpoint is missing, damaged, or belongs to another model."""


def save_checkpoint(model: nn.Module, card: dict, path: Path) -> Path:
    """Write `model` (as float16) and `card` to `path`, and a readable card beside it.

    The card stands in the file and, for readers, in `path` with the suffix .json. The
    file appears whole or not at all: a failed write leaves what was there before.
    Raises OSError when it cannot be written and ValueError for a weight that float16
    cannot hold.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        half = tensor.detach().cpu().contiguous()
        if half.is_floating_point():
            half = half.half()
            if not torch.isfinite(half).all():
                raise ValueError(
                    f"weight {name} has values outside float16: "
                    "expected finite numbers below 65504"
                )
        state[name] = half
    text = json.dumps(card, indent=1, sort_keys=True)
    write_atomically(path, safetensors.torch.save(state, metadata={"card": text}))
    write_atomically(path.with_suffix(".json"), (text + "\n").encode())
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that always its old or its new content is there, whole."""
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


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a file; SafetensorError for a damaged one."""
    content = path.read_bytes()
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")  # of the JSON header that follows
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def load_checkpoint(model: nn.Module, path: Path) -> dict:
    """Load `path` into `model`, in the model's own float type, and return the card.

    Raises CheckpointError, which names the file, when it is missing, damaged, or its
    tensors are not the model's; the model is then unchanged.
    """
    try:
        state, metadata = read_safetensors(path)
        card = json.loads(metadata["card"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {path} does not exist; "
            "train it with: python -m aigc_lib.recipes train …"
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged or not a safetensors file: {error}"
        ) from error
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"checkpoint {path} has no readable card: it was not written by a recipe"
        ) from error
    _check_fits(model, state, path)
    model.load_state_dict(state)
    return card


def _check_fits(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Raise CheckpointError unless names, shapes and finiteness are right."""
    own = model.state_dict()
    if missing := sorted(own.keys() - state.keys()):
        raise CheckpointError(
            f"checkpoint {path} lacks tensor {missing[0]} (and {len(missing) - 1} more)"
        )
    if extra := sorted(state.keys() - own.keys()):
        raise CheckpointError(
            f"checkpoint {path} has tensor {extra[0]} that the model lacks: "
            "another model's file"
        )
    for name, tensor in sorted(state.items()):
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"checkpoint {path}: tensor {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"checkpoint {path}: tensor {name} has values that are not finite"
            )
