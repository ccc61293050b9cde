"""Race contenders at equal time and write what they reached to aigc_lib/evaluate/results.

    python tools/bench/run.py                 every bench
    python tools/bench/run.py vae --seconds 60 --seeds 0 1 2 --rows published ours

Each row and seed runs in a fresh process of its own, one after the other; run nothing else meanwhile. `--jobs 2` runs
two at a time with one thread each, which is enough to compare the rows of a ladder with one another. What a run found
is kept in _build/bench, by commit, seconds, row and seed: the same command goes on after an interruption, and a race
with more seeds or rows makes only the runs that are new. `--fresh` makes all of them again.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from aigc_lib import runtime

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent.parent / "aigc_lib" / "evaluate" / "results"
SAME_IN_FP32 = "ours but float32"  # where our recipes run in float32 anyway
KEPT = HERE.parent.parent / "_build" / "bench"
RACES = sorted(path.stem for path in (HERE / "races").glob("*.py"))
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # what most laptops have


def child(*args: str, **environment: str) -> dict:
    """Run contender.py in a fresh process; its last line of output is JSON."""
    command = [sys.executable, str(HERE / "contender.py"), *args]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def race(name: str, args: argparse.Namespace, rows: list[str], kept: Path) -> dict:
    """{row: {"mean": …, "sd": …, "runs": …}} of every number that the rows of a race report."""
    runs = [(row, seed) for row in rows for seed in (args.seeds if row != "real" else args.seeds[:1])]
    with ThreadPoolExecutor(args.jobs) as pool:
        found = list(pool.map(lambda run: one_run(name, *run, args, kept), runs))
    results = {}
    for row in rows:
        mine = [numbers for (its_row, _), numbers in zip(runs, found, strict=True) if its_row == row]
        columns = {key: [run[key] for run in mine] for key in mine[0]}
        results[row] = {
            "mean": {key: statistics.mean(values) for key, values in columns.items()},
            "sd": {key: statistics.stdev(values) if len(values) > 1 else 0.0 for key, values in columns.items()},
            "runs": mine,
        }
    return {"seconds": args.seconds, "seeds": args.seeds, "contenders": results}


def one_run(name: str, row: str, seed: int, args: argparse.Namespace, kept: Path) -> dict:
    """What a row reaches with a seed, from this run or from an earlier one at this commit."""
    file = kept / name / f"{row}, {args.seconds:g} s, seed {seed}.json"
    if args.fresh or not file.exists():
        print(f"{name}: {row}, seed {seed} …", flush=True)
        # Given to the child too: threads are chosen when torch is imported.
        one_thread = {"OMP_NUM_THREADS": "1"} if args.jobs > 1 else {}
        found = child("race", name, row, "--seconds", str(args.seconds), "--seed", str(seed), **one_thread)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def speed() -> dict:
    """Milliseconds of one training step of each recipe by precision and instruction set, and of single operations."""
    rows = {}
    for isa, limit in {"all instructions": {}, "AVX2 only": AVX2}.items():
        for precision in ("fp32", "bf16"):
            print(f"speed: {isa}, {precision} …", flush=True)
            rows[f"{isa}, {precision}"] = child("speed", **limit, AIGC_PRECISION=precision)
    return {"milliseconds": rows}


def provenance() -> dict:
    """Commit, machine and versions."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    cpu = next((x.split(":")[1].strip() for x in _cpuinfo() if x.startswith("model name")), platform.processor())
    flags = next((set(x.split()) for x in _cpuinfo() if x.startswith("flags")), set())
    features = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"})
    day = time.strftime("%Y-%m-%d")
    return {"commit": commit, "date": day, "cpu": cpu, "features": features, "cores": os.cpu_count(), **runtime.facts()}


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Race contenders at equal time, each in a fresh process.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(RACES)}, speed (default: all)")
    parser.add_argument("--seconds", type=float, default=25.0, help="of training for each row and seed (default: 25)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows; the record holds no others")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, with one thread each if more than 1")
    parser.add_argument("--list", action="store_true", help="print the rows of each race and run nothing")
    parser.add_argument("--fresh", action="store_true", help="run again what has been run at this commit")
    args = parser.parse_args()
    if unknown := set(args.names) - {*RACES, "speed"}:
        sys.exit(f"unknown bench {sorted(unknown)[0]!r}; known: {', '.join(RACES)}, speed")
    args.names = args.names or [*RACES, "speed"]
    return args


def rows_of(name: str, wanted: list[str] | None) -> list[str]:
    """The rows of a race that are wanted, in the race's order; "real" always."""
    rows = child("rows", name)
    if unknown := set(wanted or []) - set(rows):
        sys.exit(f"{name}: unknown row {sorted(unknown)[0]!r}; known: {', '.join(rows)}")
    if runtime.precision() == "fp32":
        rows = [row for row in rows if row != SAME_IN_FP32]
    return [row for row in rows if wanted is None or row in wanted or row == "real"]


def main() -> None:
    args = arguments()
    races = {name: rows_of(name, args.rows) for name in args.names if name != "speed"}
    if args.list:
        for name, rows in races.items():
            print(f"{name}: {', '.join(rows)}")
        return
    torch.set_num_threads(1 if args.jobs > 1 else os.cpu_count() or 1)
    RESULTS.mkdir(exist_ok=True)
    origin = provenance()  # before the first record is written, which makes the tree dirty
    kept = KEPT / "-".join(str(origin[key]) for key in ("commit", "precision", "cpu_capability", "threads"))
    for name in args.names:
        if name == "speed":
            found = speed()
        else:
            found = race(name, args, races[name], kept)
        (RESULTS / f"{name}.json").write_text(json.dumps(origin | found, indent=1) + "\n")
        print(f"wrote {RESULTS.name}/{name}.json", flush=True)


if __name__ == "__main__":
    main()
