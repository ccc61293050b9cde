"""nbval compares: the notebooks carry the site's outputs, and one changed output fails."""

import subprocess
import sys

import nbformat
import pytest
import run_nbval as run_nbval_tool

from .conftest import ROOT

PREPARED = sorted((ROOT / "_build" / "nbval").glob("*/*.ipynb"))


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


def test_a_false_claim_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("AIGC_STRICT", run_nbval_tool.SETTINGS["AIGC_STRICT"])
    path = next(path for path in PREPARED if path.stem == "warmup")
    nb = nbformat.read(path, as_version=4)
    claim = "from aigc_lib import show\nshow.claim({}, 'seeded: one is two')"
    nb.cells = [*nb.cells[:2], nbformat.v4.new_code_cell(claim.format(True))]
    good = run_nbval(nb, tmp_path)
    assert good.returncode == 0, good.stdout
    nb.cells[-1].source = claim.format(False)
    bad = run_nbval(nb, tmp_path)
    assert bad.returncode == 1 and "✗ seeded: one is two" in bad.stdout, bad.stdout


def first_printed(nb):
    """The index of the first checked cell that prints a number."""
    for index, cell in enumerate(nb.cells):
        if cell in checked(nb) and any(c.isdigit() for c in cell.outputs[0].get("text", "")):
            return index
    return len(nb.cells)


def test_one_changed_output_fails(tmp_path):
    nb = nbformat.read(next(path for path in PREPARED if path.stem == "warmup"), as_version=4)  # the fastest
    nb.cells = nb.cells[: first_printed(nb) + 1]  # the cells after it take longer and show no more
    good = run_nbval(nb, tmp_path)
    assert good.returncode == 0, good.stdout
    output = nb.cells[-1].outputs[0]
    i = max(i for i, c in enumerate(output["text"]) if c.isdigit())
    output["text"] = output["text"][:i] + str((int(output["text"][i]) + 1) % 10) + output["text"][i + 1 :]
    bad = run_nbval(nb, tmp_path)
    assert bad.returncode == 1 and "1 failed" in bad.stdout, bad.stdout
