"""nbval compares: the notebooks carry the site's outputs, and one changed output fails."""

import subprocess
import sys

import nbformat
import pytest

from .conftest import ROOT

PREPARED = sorted((ROOT / "_build" / "nbval").glob("*.ipynb"))


def checked(nb):
    return [cell for cell in nb.cells if "nbval-check-output" in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", PREPARED, ids=lambda p: p.stem)
def test_checked_cells_have_something_to_compare(path):
    cells = checked(nbformat.read(path, as_version=4))
    assert cells
    for cell in cells:
        assert cell.execution_count is not None and cell.outputs
        assert all(o.output_type != "display_data" and "text/html" not in o.get("data", {}) for o in cell.outputs)


def run_nbval(nb, folder):
    path = folder / "cut.ipynb"
    nbformat.write(nb, path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-kernel-name=aigc-bare",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=folder)


def test_one_changed_output_fails(tmp_path):
    nb = nbformat.read(PREPARED[0], as_version=4)
    last = nb.cells.index(checked(nb)[0])
    nb.cells = nb.cells[: last + 1]  # up to the first checked cell: the rest takes longer and shows no more
    good = run_nbval(nb, tmp_path)
    assert good.returncode == 0, good.stdout
    output = nb.cells[-1].outputs[0]
    digits = [i for i, c in enumerate(output["text"]) if c.isdigit()]
    i = digits[-1]
    output["text"] = output["text"][:i] + str((int(output["text"][i]) + 1) % 10) + output["text"][i + 1 :]
    bad = run_nbval(nb, tmp_path)
    assert bad.returncode == 1 and "1 failed" in bad.stdout, bad.stdout
