"""Checkpoints: float16 safetensors with a card, written atomically, then verified."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


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
    for name, tensor in named_tensors(model).items():
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


def load_checkpoint(model: nn.Module, path: Path) -> dict:
    """Load `path` into `model`, in the model's own float type, and return the card.

    Raises CheckpointError, which names the file, when it is missing, damaged, or its
    tensors are not the model's; the model is then unchanged.
    """
    found, card = _read(path)
    own = named_tensors(model)
    expect_same_tensors(f"checkpoint {path}", found, own)
    for name, tensor in sorted(found.items()):
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"checkpoint {path}: tensor {name} has values that are not finite"
            )
    copy_tensors(found, own)
    return card


def read_card(path: Path) -> dict:
    """The card of a checkpoint, without a network; raises CheckpointError."""
    return _read(path)[1]


def checksum(path: Path) -> str:
    """The SHA-256 of a checkpoint file; raises CheckpointError when it is missing."""
    return hashlib.sha256(_content(path)).hexdigest()


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


def expect_writable(path: Path) -> None:
    """Make the folder of `path` and write in it, so that trouble comes before work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: expected a place for a file")
    with tempfile.TemporaryFile(dir=path.parent):
        pass


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


def read_safetensors(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file's content, or SafetensorError."""
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")  # of the JSON header that follows
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {path} does not exist; "
            "train it with: python -m aigc_lib.recipes train …"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read: {error.strerror}"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the card of a checkpoint."""
    try:
        tensors, metadata = read_safetensors(_content(path))
        card = dict(json.loads(metadata["card"]))
    except SafetensorError as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged or not a safetensors file: {error}"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {path} has no readable card: it was not written by a recipe"
        ) from error
    return tensors, card
