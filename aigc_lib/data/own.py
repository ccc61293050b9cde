"""The reader's own pictures."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# What np.load raises for a file that is no archive of plain arrays.
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile)


def own_images(
    file: str | Path, shape: tuple[int, int, int], at_least: int = 1
) -> tuple[Tensor, str]:
    """Read pictures (N, C, H, W) float32 in [-1, 1] from an npz file; also its SHA-256.

    The file has one array, or one named `images`: uint8 in 0..255 or floats in [-1, 1],
    in shape (N, *shape), or (N, H, W) for one channel. Raises ValueError, which names
    what was found and what was expected, for anything else.
    """
    path = Path(file)
    name = f"pictures {path}"
    try:
        content = path.read_bytes()
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file; expected an npz file") from error
    except UNREADABLE as error:
        raise ValueError(
            f"{name}: not a readable npz file of plain numbers ({error})"
        ) from error
    if "images" not in arrays and len(arrays) != 1:
        raise ValueError(
            f"{name}: has arrays {sorted(arrays)}; expected one, or one named 'images'"
        )
    array = arrays.get("images", next(iter(arrays.values())))
    if shape[0] == 1 and array.ndim == 3:
        array = array[:, None]
    if array.shape[1:] != shape:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name}: shape {array.shape}; expected (N, {wanted})")
    if len(array) < at_least:
        raise ValueError(f"{name}: only {len(array)}; expected at least {at_least}")
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{name}: dtype {array.dtype}; "
            f"expected uint8 in 0..255 or floats in [-1, 1]"
        )
    images = torch.from_numpy(array).float()
    if array.dtype == np.uint8:
        images = images.div_(127.5).sub_(1)
    low, high = float(images.min()), float(images.max())
    if not (-1 <= low and high <= 1):  # false for nan, too
        raise ValueError(
            f"{name}: values from {low:.4g} to {high:.4g}; expected floats in [-1, 1]"
        )
    return images, hashlib.sha256(content).hexdigest()
