"""Checkpoints: float16 safetensors with a card, written atomically, then verified."""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from aigc_lib.training.files import (
    CheckpointError,
    read_bytes,
    read_sealed,
    write_atomically,
    write_sealed,
)

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


def save_checkpoint(model: nn.Module, card: dict, path: Path) -> Path:
    """Write `model` (as float16) and `card` to `path`, and a readable card beside it.

    The card stands in the file and, for readers, in `path` with the suffix .json. The
    file appears whole or not at all: a failed write leaves what was there before.
    Raises OSError when it cannot be written and ValueError for a weight that float16
    cannot hold.
    """
    named = named_tensors(model)
    halves = {
        name: _half(name, tensor.detach().cpu()) for name, tensor in named.items()
    }
    write_sealed(path, halves, card)
    text = json.dumps(card, indent=1, sort_keys=True)
    write_atomically(path.with_suffix(".json"), (text + "\n").encode())
    return path


def _half(name: str, tensor: Tensor) -> Tensor:
    """A weight as float16; a count or a mask as it is."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor.contiguous()
    if tensor.dtype not in FLOATS:
        raise ValueError(
            f"weight {name} has dtype {tensor.dtype}: "
            "expected float32, float16 or bfloat16"
        )
    half = tensor.half().contiguous()
    if not torch.isfinite(half).all():
        raise ValueError(
            f"weight {name} has values outside float16: "
            "expected finite numbers below 65504"
        )
    return half


def load_checkpoint(model: nn.Module, path: Path) -> dict:
    """Load `path` into `model`, in the model's own float type, and return the card.

    Raises CheckpointError, which names the file, when it is missing, damaged, or its
    tensors are not the model's; the model is then unchanged.
    """
    found, card = read_sealed("checkpoint", path)
    own = named_tensors(model)
    expect_same_tensors(f"checkpoint {path}", found, own)
    for name, tensor in sorted(found.items()):
        if not torch.isfinite(tensor.to(own[name].dtype)).all():
            raise CheckpointError(
                f"checkpoint {path}: tensor {name} has values that are not finite "
                f"in {own[name].dtype}"
            )
    copy_tensors(found, own)
    return card


def read_card(path: Path) -> dict:
    """The card of a checkpoint, without a network; raises CheckpointError."""
    return read_sealed("checkpoint", path)[1]


def checksum(path: Path) -> str:
    """The SHA-256 of a checkpoint file; raises CheckpointError when it is missing."""
    return hashlib.sha256(read_bytes("checkpoint", path)).hexdigest()


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The module's own tensors by name; tied weights stand under their first name."""
    found, seen = {}, set()
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or place not in seen:
            found[name] = tensor
        seen.add(place)
    return found


def expect_same_tensors(
    what: str, found: dict[str, Tensor], own: dict[str, Tensor]
) -> None:
    """Raise CheckpointError unless names, shapes and kinds of numbers are equal."""
    if missing := sorted(own.keys() - found.keys()):
        raise CheckpointError(
            f"{what} lacks tensor {missing[0]} (and {len(missing) - 1} more)"
        )
    if extra := sorted(found.keys() - own.keys()):
        raise CheckpointError(
            f"{what} has tensor {extra[0]} that the model lacks: another model's file"
        )
    for name, tensor in sorted(found.items()):
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{what}: tensor {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}"
            )
        floats = tensor.dtype in FLOATS and own[name].dtype in FLOATS
        if tensor.dtype != own[name].dtype and not floats:
            raise CheckpointError(
                f"{what}: tensor {name} has dtype {tensor.dtype}, "
                f"expected {own[name].dtype}"
            )


@torch.no_grad()
def copy_tensors(found: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Copy into a model's own tensors, which keep their layout, device and type."""
    for name, tensor in own.items():
        tensor.copy_(found[name])
