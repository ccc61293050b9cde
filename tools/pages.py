"""Which pages have code, which of them are out of date, and what their execution left.

A page is executed again when its code cells, a file of the repository that it opened last time, or the
environment has changed, and only then. "Opened" is taken literally: a kernel's audit hook writes down every
file, so modules that are imported by others, data sets, checkpoints and recorded numbers all count.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import jupytext
import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from parallel import KEEP_MEMORY, ONE_THREAD, Finished, run_all

ROOT = Path(__file__).resolve().parent.parent
EXECUTE = Path(__file__).resolve().parent / "execute.py"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Problem:
    """A cell that failed or a claim that did not hold: where it stands, and what it said."""

    page: str
    line: int
    message: str
    failed: bool  # False for a claim, after which the page went on

    def __str__(self) -> str:
        return f"{self.page}.md, line {self.line}: {self.message}"


def with_code(root: Path = ROOT) -> list[str]:
    """The pages of _toc.yml that have code cells, such as "chapters/gan", in their order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    names = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [name for name in names if "{code-cell}" in (root / f"{name}.md").read_text()]


class Executed:
    """The execution cache of Jupyter Book, with a record of what each result depends on."""

    def __init__(self, root: Path = ROOT):
        self.root, self.record_file = root, root / "_build" / "executed.json"
        self.record_file.parent.mkdir(exist_ok=True)
        self.cache = get_cache(root / "_build" / ".jupyter_cache")
        self.record = json.loads(self.record_file.read_text()) if self.record_file.exists() else {}

    def reason(self, page: str, digest: Callable[[Path], str] | None = None) -> str | None:
        """Why a page must be executed, in words; None when its result is still good."""
        digest, known = digest or file_digest, self.record.get(page)
        if known is None:
            return "it is new"
        if any(problem["failed"] for problem in known["problems"]):
            return "a cell failed last time"
        if known["environment"] != environment(self.root):
            return "Python, requirements.lock or a setting changed"
        if known["cells"] != self.cells(page):
            return "its code changed"
        for name, before in known["files"].items():
            if digest(self.root / name) != before:
                return f"{name} changed"
        return None if self.notebook(page) is not None else "its result is gone from the cache"

    def cells(self, page: str) -> str:
        """The key under which the cache keeps a result: a hash of the code cells."""
        return self.cache.create_hashed_notebook(jupytext.read(self.root / f"{page}.md"))[1]

    def notebook(self, page: str) -> nbformat.NotebookNode | None:
        """A page with the outputs of its last execution, or None."""
        try:
            return self.cache.merge_match_into_notebook(jupytext.read(self.root / f"{page}.md"))[1]
        except KeyError:
            return None

    def problems(self) -> list[Problem]:
        """Every problem of the pages that exist, from the record."""
        return [Problem(**p) for page in with_code(self.root) for p in self.record.get(page, {}).get("problems", [])]

    def run(self, todo: list[str], at_once: int) -> Iterator[str]:
        """Execute pages, `at_once` at a time with one thread each, the longest first; yield a line about each.

        Each result is kept as soon as it is there, so an interrupted run is taken up where it was.
        """
        before = {page: self.record.get(page, {}).get("seconds", 1e9) for page in todo}
        source = {page: self.root / f"{page}.md" for page in todo}
        todo = sorted(todo, key=lambda page: (-before[page], -source[page].stat().st_size))
        cells, now = {page: self.cells(page) for page in todo}, Snapshot(self.root)
        with tempfile.TemporaryDirectory() as folder:
            out = {page: Path(folder, page.replace("/", "-")) for page in todo}
            commands = {
                page: (execution(source[page], out[page], self.root), ONE_THREAD | KEEP_MEMORY) for page in todo
            }
            width = max(map(len, todo), default=0)
            for done in run_all(commands, at_once, width):
                found = self.keep(done, out[done.name], cells[done.name], now)
                said = {0: ""}.get(len(found), f", {len(found)} problem(s), see below")
                yield f"  {done.name:{width}} {done.seconds:4.0f} s{said}"

    def keep(self, done: Finished, out: Path, cells: str, now: "Snapshot") -> list[Problem]:
        """Put one finished execution into the cache and the record; returns its problems."""
        page = done.name
        if done.status != 0:
            last = (done.output.strip().splitlines() or ["it printed nothing"])[-1]
            found = [Problem(page, 1, f"could not be executed: {last}", True)]
            files: list[str] = []
        else:
            nb = nbformat.read(out / "page.ipynb", as_version=4)
            data = {"execution_seconds": done.seconds}
            bundle = CacheBundleIn(nb, str(self.root / f"{page}.md"), data=data)
            self.cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            found = problems_of(nb, page, (self.root / f"{page}.md").read_text())
            files = opened_files(out / "opened.txt", self.root)
        self.record[page] = {
            "cells": cells,
            "environment": environment(self.root),
            "files": {name: now.digest(self.root / name) for name in files},
            "seconds": round(done.seconds, 1),
            "problems": [asdict(problem) for problem in found],
        }
        temporary = self.record_file.with_suffix(".new")
        temporary.write_text(json.dumps(self.record, indent=1))
        os.replace(temporary, self.record_file)
        return found


def execution(source: Path, out: Path, root: Path) -> list[str]:
    """The command that executes a page into the folder `out`, which it makes."""
    out.mkdir(parents=True)
    return [sys.executable, str(EXECUTE), str(source), str(out), str(root)]


class Snapshot:
    """The files of the library as they were when execution began: what changes later counts as changed."""

    def __init__(self, root: Path):
        files = (p for p in (root / "aigc_lib").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        self.known = {path: file_digest(path) for path in files}

    def digest(self, path: Path) -> str:
        return self.known.get(path) or file_digest(path)


def file_digest(path: Path) -> str:
    """A short hash of a file's content; "" when there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def environment(root: Path) -> str:
    """What stands for the installed versions and the settings under which all pages run."""
    settings = [os.environ.get(f"AIGC_{name}", "") for name in ("DEVICE", "PRECISION", "SEED")]
    return " ".join([platform.python_version(), file_digest(root / "requirements.lock"), *settings])


def opened_files(log: Path, root: Path) -> list[str]:
    """Files of the repository from a kernel's log, as relative names; compiled modules as their sources."""
    names = set()
    for line in log.read_text().splitlines() if log.exists() else []:
        path = Path(line)
        if path.suffix == ".pyc" and path.parent.name == "__pycache__":
            path = path.parent.parent / f"{path.name.split('.')[0]}.py"
        name = path.relative_to(root)
        if path.is_file() and not name.parts[0].startswith((".", "_")):
            names.add(name.as_posix())
    return sorted(names)


def problems_of(nb: nbformat.NotebookNode, page: str, text: str) -> list[Problem]:
    """Errors and claims that did not hold in an executed page, with their lines in its source `text`."""
    found, at = [], 0
    for cell in (cell for cell in nb.cells if cell.cell_type == "code"):
        at = max(text.find(cell.source, at), at)
        line = text.count("\n", 0, at) + 1
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(Problem(page, line, ANSI.sub("", f"{output.ename}: {output.evalue}"), True))
            elif output.output_type == "stream":
                false = [said for said in output.text.splitlines() if said.startswith("✗ ")]
                found += [Problem(page, line, said, False) for said in false]
    return found


@contextmanager
def only_one(root: Path = ROOT) -> Iterator[None]:
    """Hold the repository's build lock; a second build in the same folder waits for the first."""
    path = root / "_build" / ".lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"Another build runs in this folder (process {lock.read().strip()}): waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
