"""Make what nbval runs: the notebooks with the site's outputs, and a bare environment like Colab's.

_build/nbval/NAME.ipynb    notebooks/NAME.ipynb; cells tagged nbval-check-output carry what the site printed
_build/bare/               a virtual environment with the built wheel and what it declares, plus a kernel
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import jupytext
import nbformat
import yaml
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
KERNEL = "aigc-bare"

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from course import library_hash  # noqa: E402


def with_site_outputs(source: Path, notebook: Path) -> nbformat.NotebookNode:
    """The generated notebook with the outputs of its checked cells taken from the site's execution.

    Raises KeyError when the site has not executed the chapter as it is now, and ValueError when a checked
    cell has no output to compare: nbval would then compare nothing.
    """
    cache = get_cache(BUILD / ".jupyter_cache" / library_hash(ROOT))
    _, ran = cache.merge_match_into_notebook(jupytext.read(source))
    printed = {cell.source: cell.outputs for cell in ran.cells if cell.cell_type == "code"}
    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            cell.outputs, cell.execution_count = printed[cell.source], 1  # a null count: nbval skips the comparison
            if not cell.outputs:
                raise ValueError(f"{source.name}: this checked cell printed nothing:\n{cell.source}")
    return nb


def bare_environment() -> None:
    """Build the wheel, install it alone (versions as in the lock), and register its kernel for this venv."""
    shutil.rmtree(BUILD / "wheel", ignore_errors=True)
    run = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(BUILD / "wheel"), str(ROOT)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    wheel = next((BUILD / "wheel").glob("*.whl"))
    python = BUILD / "bare" / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "requirements.lock"]
    if not (BUILD / "bare" / "ready").exists() or _older(BUILD / "bare" / "ready", ROOT / "requirements.lock"):
        venv.create(BUILD / "bare", with_pip=True, clear=True)
        torch = re.search(r"^torch==\S+", (ROOT / "requirements.lock").read_text(), re.M)[0]
        subprocess.run([*pip, torch, "ipykernel", str(wheel)], check=True, cwd=ROOT)
        (BUILD / "bare" / "ready").touch()
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], check=True, cwd=ROOT)
    spec = Path(sys.prefix, "share", "jupyter", "kernels", KERNEL, "kernel.json")
    spec.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "aigc-lib's wheel alone", "language": "python"}))


def _older(a: Path, b: Path) -> bool:
    return a.stat().st_mtime < b.stat().st_mtime


def main() -> None:
    target = BUILD / "nbval"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [c["file"] for part in toc["parts"] for c in part["chapters"] if c["file"].startswith("chapters/")]
    for name in names:
        source = ROOT / f"{name}.md"
        nb = with_site_outputs(source, ROOT / "notebooks" / f"{source.stem}.ipynb")
        nbformat.write(nb, target / f"{source.stem}.ipynb")
    bare_environment()
    where = subprocess.run(
        [str(BUILD / "bare" / "bin" / "python"), "-c", "import aigc_lib; print(aigc_lib.__file__)"],
        check=True, capture_output=True, text=True, cwd=target, env={**os.environ, "PYTHONPATH": ""},
    ).stdout.strip()  # fmt: skip
    if not Path(where).is_relative_to(BUILD / "bare"):
        sys.exit(f"the bare environment imports aigc_lib from {where}: expected the installed wheel")
    print(f"{len(names)} notebook(s) ready in {target.relative_to(ROOT)}; aigc_lib comes from the wheel")


if __name__ == "__main__":
    main()
