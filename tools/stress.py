"""Run every chapter many times, at other seeds, instruction sets and numbers of threads, and count failed claims.

    python tools/stress.py                       all chapters, 8 runs each
    python tools/stress.py --runs 16 gan vae     two of them, 16 runs each

Every run has another seed. Half have AVX2 instructions only (where the processor has more), half one thread and
half two; runs with one thread go two at a time, runs with two alone. The record grows to the number of runs asked
for: what was run before counts while the chapter and the files it opens are the same, so a chapter that has not
changed costs nothing. What was found of a chapter stays, with its commit, until the chapter is run again. Each
processor has its own part. It is written after every run, to aigc_lib/evaluate/results/stress.json.
"""

import argparse
import ast
import hashlib
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import torch
from bench.run import AVX2, provenance
from pages import ROOT, Executed, execution, file_digest, opened_files, problems_of, with_code
from parallel import KEEP_MEMORY, ONE_THREAD, Finished, run_all, stop_on_terminate

RECORD = ROOT / "aigc_lib" / "evaluate" / "results" / "stress.json"
TWO_THREADS = {name: "2" for name in ONE_THREAD}


def plan(seed: int, more_than_avx2: bool) -> dict[str, str | int]:
    """The conditions of the run with this seed (1, 2, …): four in turn, and what they are called."""
    limited = more_than_avx2 and seed % 4 in (0, 3)
    return {"seed": seed, "threads": 2 - seed % 2, "instructions": "AVX2" if limited else "all"}


def settings(conditions: dict) -> dict[str, str]:
    """The environment of a run under these conditions."""
    threads = ONE_THREAD if conditions["threads"] == 1 else TWO_THREADS
    limit = AVX2 if conditions["instructions"] == "AVX2" else {}
    return {**threads, **KEEP_MEMORY, **limit, "AIGC_SEED": str(conditions["seed"]), "AIGC_PRECISION": "fp32"}


def only_names(path: Path) -> bool:
    """Whether a file holds nothing that a result could depend on: names passed on, or checksums of other files.

    What it passes on was opened as well, and stands in the list of files itself.
    """
    if path.name != "__init__.py":
        return path.name == "SHA256SUMS"
    return all(
        isinstance(line, ast.Import | ast.ImportFrom)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__")
        for line in ast.parse(path.read_text()).body
    )


def fingerprint(root: Path, chapter: str, files: list[str]) -> str:
    """A hash of a chapter's code and of every file it opens, so that a changed one is run again."""
    digest = hashlib.sha256(Executed(root).cells(f"chapters/{chapter}").encode())
    for name in files:
        if (root / name).is_file() and only_names(root / name):
            continue
        digest.update(f"{name} {file_digest(root / name)}".encode())
    return digest.hexdigest()[:16]


def result(root: Path, chapter: str, conditions: dict, done: Finished, out: Path) -> tuple[dict, list[str]]:
    """What to write down about one run, and the files that it opened."""
    if done.status != 0:
        last = (done.output.strip().splitlines() or ["it printed nothing"])[-1]
        return {**conditions, "seconds": done.seconds, "failed": [f"could not be executed: {last}"]}, []
    nb = nbformat.read(out / "page.ipynb", as_version=4)
    page = f"chapters/{chapter}"
    problems = problems_of(nb, page, (root / f"{page}.md").read_text())
    failed = [f"line {problem.line}: {problem.message}" for problem in problems]
    # What one thread needs, also when other processes take turns with it.
    spent = {"processor_seconds": float((out / "processor.txt").read_text())}
    run = {**conditions, "seconds": round(done.seconds, 1), **spent, "failed": failed}
    return run, opened_files(out / "opened.txt", root)


def current(root: Path, record_file: Path, machine: dict) -> tuple[dict, dict]:
    """The record of all machines, of the chapters that there still are, and this machine's part of it."""
    record = json.loads(record_file.read_text()) if record_file.exists() else {}
    for part in record.values():
        there = {name: (root / "chapters" / f"{name}.md").exists() for name in part["chapters"]}
        part["chapters"] = {name: entry for name, entry in part["chapters"].items() if there[name]}
    mine = record.setdefault(machine["cpu"], {"chapters": {}})
    mine["machine"] = machine
    return record, mine["chapters"]


def stress(root: Path, record_file: Path, chapters: list[str], runs: int, machine: dict) -> dict:
    """Bring this machine's record of `chapters` to `runs` runs each; returns it as {chapter: entry}."""
    record, known = current(root, record_file, machine)
    for chapter in set(chapters) & set(known):
        if known[chapter]["fingerprint"] != fingerprint(root, chapter, known[chapter]["files"]):
            del known[chapter]  # it has changed since, so it starts from the beginning
    more = machine["cpu_capability"] not in ("AVX2", "DEFAULT", "NO AVX")
    planned = [plan(seed, more) for seed in range(1, runs + 1)]
    for threads, at_once in ((1, 2), (2, 1)):
        todo = {}
        for chapter in chapters:
            seeds = {run["seed"] for run in known.get(chapter, {"runs": []})["runs"]}
            for conditions in planned:
                if conditions["threads"] == threads and conditions["seed"] not in seeds:
                    name = f"{chapter} {conditions['seed']} ({threads} thread(s), {conditions['instructions']})"
                    todo[name] = chapter, conditions
        for chapter, run, files in run_planned(root, todo, at_once):
            entry = known.setdefault(chapter, {"files": [], "runs": []})
            entry["runs"] = sorted([*entry["runs"], run], key=lambda run: run["seed"])
            entry["files"] = sorted({*entry["files"], *files})
            entry["fingerprint"] = fingerprint(root, chapter, entry["files"])
            entry["commit"] = machine["commit"]
            record_file.write_text(json.dumps(record, indent=1) + "\n")
    return known


def run_planned(root: Path, todo: dict[str, tuple[str, dict]], at_once: int) -> Iterator[tuple[str, dict, list[str]]]:
    """Execute {name: (chapter, conditions)}; yield chapter, what to write down, and the files that it opened."""
    with tempfile.TemporaryDirectory() as folder:
        out = {name: Path(folder, str(i)) for i, name in enumerate(todo)}
        commands = {
            name: (execution(root / "chapters" / f"{chapter}.md", out[name], root), settings(conditions))
            for name, (chapter, conditions) in todo.items()
        }
        for done in run_all(commands, at_once, max(map(len, todo), default=0)):
            chapter, conditions = todo[done.name]
            run, files = result(root, chapter, conditions, done, out[done.name])
            print("\n    ".join([f"  {done.name} {done.seconds:.0f} s", *run["failed"]]) + "\n", end="", flush=True)
            yield chapter, run, files


def summary(chapters: dict) -> str:
    """A line for each chapter: runs, seconds, and every failed claim with how often it failed."""
    lines = []
    for chapter, entry in chapters.items():
        seconds = [run["seconds"] for run in entry["runs"]]
        low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
        alone = [run.get("processor_seconds", run["seconds"]) for run in entry["runs"] if run["threads"] == 1]
        failed = Counter(line.split(": ✗")[0] for run in entry["runs"] for line in run["failed"])
        lines.append(
            f"{chapter:12} {len(seconds)} runs, {low:.0f} / {middle:.0f} / {high:.0f} s (min, median, max), "
            f"one thread at most {max(alone):.0f} s of processor time, "
            f"{'no claim failed' if not failed else 'FAILED:'}"
        )
        lines += [f"    {where}: {count} of {len(seconds)} runs" for where, count in failed.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run chapters under many conditions and count failed claims.")
    known = [page.removeprefix("chapters/") for page in with_code() if page.startswith("chapters/")]
    parser.add_argument("chapters", nargs="*", metavar="NAME", help=f"any of: {', '.join(known)} (default: all)")
    parser.add_argument("--runs", type=int, default=8)
    args = parser.parse_args()
    if unknown := set(args.chapters) - set(known):
        sys.exit(f"unknown chapter {sorted(unknown)[0]!r}; known: {', '.join(known)}")
    if args.runs < 8:
        sys.exit(f"--runs {args.runs}: expected at least 8, or some conditions would be left out")
    stop_on_terminate()
    torch.set_num_threads(2)
    try:
        machine = provenance()
        chapters = stress(ROOT, RECORD, args.chapters or known, args.runs, machine)
    except KeyboardInterrupt:
        sys.exit("\nStopped. What was run is kept: the same command goes on from there.")
    print(f"{machine['cpu']}, {machine['date']}\n{summary(chapters)}")
    sys.exit(1 if any(run["failed"] for entry in chapters.values() for run in entry["runs"]) else 0)


if __name__ == "__main__":
    main()
