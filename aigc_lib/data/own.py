"""The reader's own pictures."""

import hashlib
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

PIXELS = [np.dtype(kind) for kind in ("uint8", "float16", "float32", "float64")]
MOST_BYTES = 2**32  # in float32; 1.3 million pictures of 28x28


def own_images(
    file: str | Path, shape: tuple[int, int, int], at_least: int = 1
) -> tuple[Tensor, str]:
    """Read pictures (N, C, H, W) float32 in [-1, 1] from an npz file; also its SHA-256.

    The file has one array, or one named `images`: uint8 in 0..255 or floats in [-1, 1],
    in shape (N, *shape), or (N, H, W) for one channel. Raises ValueError, which names
    what was found and what was expected, for anything else; what the headers ask for is
    checked before anything of that size is read.
    """
    path = Path(file)
    name = f"pictures {path}"
    if not path.is_file():
        raise ValueError(f"{name}: no such file; expected an npz file")
    with _readable(name):
        archive = zipfile.ZipFile(path)
    with archive:
        member = _member(archive, name)
        with _readable(name), archive.open(member) as stream:
            found, dtype = _header(stream, archive.getinfo(member).file_size)
        _expect_fit(found, dtype, shape, at_least, name)
        with _readable(name), archive.open(member) as stream:
            array = npy.read_array(stream, allow_pickle=False)
            array = array.astype(dtype.newbyteorder("="), copy=False)
            images = torch.from_numpy(array.reshape(-1, *shape)).float()
    images = _scaled(images, dtype == np.uint8, name)
    with _readable(name), path.open("rb") as content:
        return images, hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what a damaged file raises, which can be almost anything, into one line."""
    try:
        yield
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{name}: not a readable npz file of plain numbers ({reason})"
        ) from error


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """The member that holds the array named `images`, or the only array."""
    arrays = {member.removesuffix(".npy"): member for member in archive.namelist()}
    if "images" not in arrays and len(arrays) != 1:
        raise ValueError(
            f"{name}: has arrays {sorted(arrays)}; expected one, or one named 'images'"
        )
    return arrays.get("images", next(iter(arrays.values())))


def _header(stream, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an npy file of `size` bytes, if it is as long as they say."""
    version = npy.read_magic(stream)
    if version != (1, 0):  # later ones allow a header of 4 GB
        raise ValueError(f"npy format {version}: expected (1, 0), as numpy.save writes")
    shape, _, dtype = npy.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    asked, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if asked != held:
        raise ValueError(f"its header asks for {asked} bytes: it holds {held}")
    return shape, dtype


def _expect_fit(
    found: tuple[int, ...],
    dtype: np.dtype,
    shape: tuple[int, int, int],
    at_least: int,
    name: str,
) -> None:
    if shape[0] == 1 and len(found) == 3:
        found = (found[0], 1, *found[1:])
    if found[1:] != shape or not found:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name}: shape {found}; expected (N, {wanted})")
    if found[0] < at_least:
        raise ValueError(f"{name}: only {found[0]}; expected at least {at_least}")
    if dtype.newbyteorder("=") not in PIXELS:
        raise ValueError(
            f"{name}: dtype {dtype}; expected uint8 in 0..255 or floats in [-1, 1] "
            f"of 16, 32 or 64 bits"
        )
    if 4 * math.prod(found) > MOST_BYTES:
        raise ValueError(
            f"{name}: {found[0]:,} pictures, {4 * math.prod(found) / 1e9:.1f} GB in "
            f"float32; expected at most {MOST_BYTES / 1e9:.1f} GB"
        )


def _scaled(images: Tensor, whole: bool, name: str) -> Tensor:
    """Pictures in [-1, 1], from whole numbers in 0..255 or from floats in [-1, 1]."""
    low, high = float(images.min()), float(images.max())
    if whole and high <= 1:
        raise ValueError(
            f"{name}: uint8 values {low:.0f} to {high:.0f}, black in 0..255; "
            f"expected pictures of 0 and 1 times 255"
        )
    if whole:
        return images.div_(127.5).sub_(1)
    if not (-1 <= low and high <= 1):  # false for nan, too
        raise ValueError(
            f"{name}: values from {low:.4g} to {high:.4g}; expected floats in [-1, 1]"
        )
    if low >= 0:
        raise ValueError(
            f"{name}: values from {low:.4g} to {high:.4g}, none below 0; "
            f"expected floats in [-1, 1]: 2 * x - 1 takes them there from [0, 1]"
        )
    return images
