"""Renew requirements.lock: the newest versions that pyproject.toml allows, torch as the lock has it now."""

import re
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = """# Exact versions for CI and the site build, renewed by `make lock`.
# What the library needs stands in pyproject.toml.
"""


def main() -> None:
    torch = re.search(r"^torch==\S+", LOCK.read_text(), re.M)[0]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", torch, "setuptools", f"{ROOT}[book,test,parity]"], check=True)
        frozen = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    lines = [re.sub(r"^(torch==[^+]*)\+.*", r"\1", line) for line in frozen.splitlines()]
    # The GPU libraries that torch brings differ from machine to machine: torch itself asks for them.
    skip = re.compile(r"^(aigc[-_]lib|pip|nvidia-|cuda-|triton)")
    LOCK.write_text(HEADER + "\n".join(line for line in lines if not skip.match(line)) + "\n")


if __name__ == "__main__":
    main()
