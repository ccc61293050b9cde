"""Files of a run: whole and with a checksum, or refused; written by one run at a time.

A file holds tensors, what is said about them, and the SHA-256 of both, so that a
damaged one is never taken for what was written.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor


class CheckpointError(RuntimeError):
    """A checkpoint or a saved state is missing, damaged, or belongs elsewhere."""


def write_sealed(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors on the CPU, and JSON about them, with the SHA-256 of both."""
    sealed = {"about": about, "sha256": _seal(tensors, about)}
    # One entry: safetensors writes several in random order.
    metadata = {"sealed": json.dumps(sealed, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def read_sealed(what: str, path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a file and what is said about them.

    Raises CheckpointError, which calls the file `what`, unless it is there and exactly
    what `write_sealed` wrote.
    """
    content = read_bytes(what, path)
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")  # of the JSON that follows
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{what} {path} is damaged or not a safetensors file: {error}"
        ) from error
    if "sealed" not in metadata:
        raise CheckpointError(
            f"{what} {path} has no checksum: this version of aigc_lib did not write it"
        )
    try:
        sealed = json.loads(metadata["sealed"])
        about, expected = dict(sealed["about"]), sealed["sha256"]
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{what} {path} has no readable card") from error
    if _seal(tensors, about) != expected:
        raise CheckpointError(
            f"{what} {path} is damaged: its content does not have its SHA-256"
        )
    return tensors, about


def _seal(tensors: dict[str, Tensor], about: dict) -> str:
    """The SHA-256 of names, dtypes, shapes, bytes and of the JSON about them."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        kind = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(json.dumps(kind).encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def read_bytes(what: str, path: Path) -> bytes:
    """The content of a file; CheckpointError says why there is none."""
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise CheckpointError(f"{what} {path} is a folder or a pipe, not a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{what} {path} does not exist; "
            "train it with: python -m aigc_lib.recipes train …"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{what} {path} cannot be read: {error.strerror}"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that always its old or its new content is there, whole.

    Raises OSError, which names `path`, when it cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def only_run(*paths: Path) -> Iterator[None]:
    """Be the only run that writes `paths`, files in one folder.

    Makes the folder, and removes what a killed run left half-written in it. Raises
    OSError when another run writes there, or nobody can. The lock is the file
    .NAME.lock, held by the operating system: it ends with the process, however that
    ends.
    """
    first = paths[0]
    first.parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is a folder or a pipe: expected a place for a file")
    with tempfile.TemporaryFile(dir=first.parent):
        pass  # so that trouble comes before work
    lock = FileLock(first.with_name(f".{first.stem}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"another run is writing {first}: wait for it, or use another folder"
        ) from None
    try:
        for path in first.parent.iterdir():
            if path.name.startswith(tuple(f".{written.name}." for written in paths)):
                path.unlink()
        yield
    finally:
        with suppress(OSError):  # Windows removes it after the release
            Path(lock.lock_file).unlink()
        lock.release()
