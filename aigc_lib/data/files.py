"""Read the shipped data files, each verified by its checksum first."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).parent / "shipped"
ROOT = SHIPPED.parents[2]  # of the repository, where this is a clone of it


class DataFileError(RuntimeError):
    """A shipped data file is missing or damaged."""


def load_arrays(name: str, folder: Path = SHIPPED) -> dict[str, np.ndarray]:
    """Load the arrays of `folder/name.npz`, verified.

    Raises ValueError for an unknown name and DataFileError, which says how to rebuild
    the file, when it is missing or damaged.
    """
    content = io.BytesIO(_verified(f"{name}.npz", Path(folder)))
    with np.load(content, allow_pickle=False) as archive:
        return dict(archive)


def load_text(name: str, folder: Path = SHIPPED) -> str:
    """Load the text of `folder/name.txt`, verified. Raises as `load_arrays` does."""
    return _verified(f"{name}.txt", Path(folder)).decode("utf-8")


def _verified(file: str, folder: Path) -> bytes:
    """The content of a file whose SHA-256 is the one in `folder/SHA256SUMS`."""
    expected = checksum(file, folder)
    path = folder / file
    rebuild = f"Rebuild it with: python tools/build_data.py {path.stem}"
    if folder == SHIPPED and (ROOT / ".git").exists():
        rebuild += f" (or, in {ROOT}: git checkout -- {path.relative_to(ROOT)})"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataFileError(
            f"data file {path} cannot be read ({error.strerror}): "
            f"expected SHA-256 {expected}, found no file. {rebuild}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataFileError(
            f"data file {path} is damaged: "
            f"expected SHA-256 {expected}, found {found}. {rebuild}"
        )
    return content


def checksum(name: str, folder: Path = SHIPPED) -> str:
    """The SHA-256 that the file of data set `name` must have, whatever its suffix.

    name: a data set's, or a file's where several have one name. Raises ValueError for
    an unknown one.
    """
    known = _checksums(Path(folder))
    files = [file for file in known if name in (file, Path(file).stem)]
    if len(files) != 1:
        names = ", ".join(sorted(known))
        raise ValueError(f"unknown data set {Path(name).stem!r}; known: {names}")
    return known[files[0]]


def _checksums(folder: Path) -> dict[str, str]:
    """Read SHA256SUMS (`<hex>  <file name>` a line) as {file name: hex}."""
    path = folder / "SHA256SUMS"
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise DataFileError(
            f"the list of checksums {path} cannot be read ({error.strerror}). "
            f"Rebuild it with: python tools/build_data.py"
        ) from error
    known = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line.rstrip())
        if not row:
            raise DataFileError(
                f"the list of checksums {path} is damaged in line {number}: "
                f"expected 64 hexadecimal digits and a file name, found {line[:80]!r}. "
                f"Rebuild it with: python tools/build_data.py"
            )
        known[row[2]] = row[1]
    return known
