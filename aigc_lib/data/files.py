"""Read the shipped data files, each verified by its checksum first."""

import hashlib
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).parent / "shipped"


class DataFileError(RuntimeError):
    """A shipped data file is missing or damaged."""


def load_arrays(name: str, folder: Path = SHIPPED) -> dict[str, np.ndarray]:
    """Load `folder/name.npz` after comparing its SHA-256 with `folder/SHA256SUMS`.

    Returns a dictionary of arrays. Raises ValueError for an unknown name and
    DataFileError, which says how to rebuild the file, when it is missing or damaged.
    """
    folder = Path(folder)
    known = _checksums(folder)
    path = folder / f"{name}.npz"
    if path.name not in known:
        names = ", ".join(sorted(Path(k).stem for k in known))
        raise ValueError(f"unknown data set {name!r}; known: {names}")
    expected = known[path.name]
    rebuild = (
        f"Rebuild it with: python tools/build_data.py {name} "
        f"(or restore it with: git checkout -- {path.name})"
    )
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataFileError(
            f"data file {path} cannot be read ({error.strerror}): "
            f"expected SHA-256 {expected}, found no file. {rebuild}"
        ) from error
    if found != expected:
        raise DataFileError(
            f"data file {path} is damaged: "
            f"expected SHA-256 {expected}, found {found}. {rebuild}"
        )
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def checksum(name: str, folder: Path = SHIPPED) -> str:
    """The SHA-256 that the file of data set `name` must have, whatever its suffix.

    name: a data set's, or a file's where several have one name. Raises ValueError for
    an unknown one.
    """
    known = _checksums(Path(folder))
    files = [file for file in known if name in (file, Path(file).stem)]
    if len(files) != 1:
        raise ValueError(f"data file {name!r}; known: {', '.join(sorted(known))}")
    return known[files[0]]


def _checksums(folder: Path) -> dict[str, str]:
    """Read SHA256SUMS (`<hex>  <file name>` a line) as {file name: hex}."""
    path = folder / "SHA256SUMS"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise DataFileError(
            f"the list of checksums {path} cannot be read ({error.strerror}). "
            f"Rebuild it with: python tools/build_data.py"
        ) from error
    rows = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name: digest for digest, name in rows}
