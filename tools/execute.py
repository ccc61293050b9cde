"""Execute one page in a fresh kernel and an empty folder, and write down which files it opened.

    python tools/execute.py PAGE.md OUT

OUT/page.ipynb    the page with its outputs, as far as it came
OUT/opened.txt    every file of the repository that the kernel opened, one a line
OUT/processor.txt seconds of processor time that the kernel took, its threads together

A cell that fails ends the page; the error stands in its outputs, as in a notebook run by hand.
"""

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
KERNEL = "python3"
TRACE = """
def _():
    import os, sys
    log = open({log!r}, "a", buffering=1)
    root = {root!r} + os.sep
    seen = set()
    def opened(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.abspath(arguments[0])
            if path.startswith(root) and path not in seen:
                seen.add(path)
                log.write(path + "\\n")
    sys.addaudithook(opened)
_()
"""


def execute(page: Path, out: Path, root: Path, timeout: int = 300) -> nbformat.NotebookNode:
    """Run every cell of a page (.md or .ipynb); the kernel takes this process's environment."""
    nb = jupytext.read(page)
    trace = out / "trace.py"
    trace.write_text(TRACE.format(log=str(out / "opened.txt"), root=str(root)))
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            nb,
            timeout=timeout,
            record_timing=False,  # it would change the cells' metadata, by which the cache knows a page
            kernel_name=KERNEL,
            resources={"metadata": {"path": folder}},
            extra_arguments=[f"--IPKernelApp.exec_files={trace}"],
        )
        running = []
        client.on_cell_start = lambda cell, cell_index: running.append(cell_index)
        try:
            client.execute()
        except CellExecutionError:
            pass  # it stands in the cell's outputs
        except Exception as error:  # too long, or the kernel died: written down where it happened
            message = f"{error}".strip().splitlines()[0]
            output = nbformat.v4.new_output(
                "error", ename=type(error).__name__, evalue=message, traceback=[f"{type(error).__name__}: {message}"]
            )
            code = [index for index, cell in enumerate(nb.cells) if cell.cell_type == "code"]
            started = [index for index in code if index in running]
            nb.cells[started[-1] if started else code[0]].outputs = [output]
    return nb


def main() -> None:
    page, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    root = Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else ROOT
    nbformat.write(execute(page, out, root), out / "page.ipynb")
    spent = os.times()
    (out / "processor.txt").write_text(f"{spent.children_user + spent.children_system:.1f}\n")


if __name__ == "__main__":
    main()
