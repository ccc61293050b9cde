"""Make what nbval runs: the notebooks with the site's outputs, and a bare environment like Colab's.

_build/nbval/NAME/NAME.ipynb    notebooks/NAME.ipynb, alone in its folder; cells tagged nbval-check-output carry
                                what the site printed
_build/bare/                    a virtual environment with the built wheel and what it declares, plus a kernel
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
from pages import ROOT, Executed, with_code

BUILD = ROOT / "_build"
KERNEL = "aigc-bare"


def with_site_outputs(page: str, notebook: Path) -> nbformat.NotebookNode:
    """The generated notebook with the outputs of its checked cells taken from the site's execution.

    Raises ValueError when the site has not executed the chapter as it is now, and when a checked cell has no
    output to compare: nbval would then compare nothing.
    """
    executed = Executed(ROOT)
    if why := executed.reason(page):
        raise ValueError(f"{page} is out of date ({why}): run `make book` first")
    ran = executed.notebook(page)
    printed = {cell.source: cell.outputs for cell in ran.cells if cell.cell_type == "code"}
    nb = nbformat.read(notebook, as_version=4)
    for cell in nb.cells:
        if "nbval-check-output" in cell.metadata.get("tags", []):
            cell.outputs, cell.execution_count = printed[cell.source], 1  # a null count: nbval skips the comparison
            if not cell.outputs:
                raise ValueError(f"{page}: this checked cell printed nothing:\n{cell.source}")
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
    names = [page.removeprefix("chapters/") for page in with_code(ROOT) if page.startswith("chapters/")]
    for name in names:
        nb = with_site_outputs(f"chapters/{name}", ROOT / "notebooks" / f"{name}.ipynb")
        (target / name).mkdir()
        nbformat.write(nb, target / name / f"{name}.ipynb")
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
