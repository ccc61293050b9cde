"""Race contenders at equal time and write what they reached to aigc_lib/evaluate/results.

    python tools/bench/run.py                 every bench
    python tools/bench/run.py vae --seconds 60 --seeds 0 1 2 --rows published ours

Each row and seed runs in a fresh process of its own, one after the other; run nothing else meanwhile. `--jobs 2` runs
two at a time with one thread each, and counts processor time: enough to compare the rows of a ladder. What a run found
is kept in _build/bench, by commit, seconds, row and seed: the same command goes on after an interruption, and a race
with more seeds or rows makes only the runs that are new. `--fresh` makes all of them again.

A record is filed under the kind of processor, so that those of several kinds stand beside one another: "AMX" (matrix
units), "AVX-512" or "AVX2". To make the record of most laptops on a machine that can do more:

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 make bench BENCH=vae
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
ROOT = HERE.parent.parent
RESULTS = ROOT / "aigc_lib" / "evaluate" / "results"
SAME_IN_FP32 = "ours but float32"  # where our recipes run in float32 anyway
KEPT = ROOT / "_build" / "bench"
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
        options = "--seconds", str(args.seconds), "--seed", str(seed)
        same = {"AIGC_PRECISION": runtime.precision()}  # measured once
        if args.jobs > 1:
            same["OMP_NUM_THREADS"] = "1"
            options += ("--processor-time",)
        found = child("race", name, row, *options, **same)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    return json.loads(file.read_text())


def speed(kind: str) -> dict:
    """Milliseconds of one training step of each recipe by precision and instruction set, and of single operations."""
    sets = {"all instructions": {}, "AVX2 only": AVX2}
    if kind == "AVX2":
        del sets["all instructions"]  # it would be the other one
    rows = {}
    for name, limit in sets.items():
        for precision in ("fp32", "bf16"):
            print(f"speed: {name}, {precision} …", flush=True)
            rows[f"{name}, {precision}"] = child("speed", **limit, AIGC_PRECISION=precision)
    return {"milliseconds": rows}


def provenance() -> dict:
    """Commit, day, machine and versions, and the kind of processor that a record is filed under."""
    cpu = next((x.split(":")[1].strip() for x in _cpuinfo() if x.startswith("model name")), platform.processor())
    flags = next((set(x.split()) for x in _cpuinfo() if x.startswith("flags")), set())
    features = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"})
    facts = runtime.facts()
    kind = kind_of(features, facts["cpu_capability"], os.environ.get("ONEDNN_MAX_CPU_ISA", ""))
    if runtime.device().type == "cuda":
        kind = facts["device"]
    origin = {"commit": commit(), "date": time.strftime("%Y-%m-%d"), "cpu": cpu, "features": features}
    return {"kind": kind, **origin, "cores": os.cpu_count(), **facts}


def kind_of(features: list[str], capability: str, limit: str = "") -> str:
    """The widest instructions that both torch and oneDNN may use: "AMX", "AVX-512" or "AVX2".

    capability is torch's, which ATEN_CPU_CAPABILITY lowers; limit is oneDNN's ONEDNN_MAX_CPU_ISA, if it is set. A
    processor of another make is filed under what torch calls it.
    """
    limit = limit.upper()
    if capability == "AVX2" or limit.startswith("AVX2"):
        return "AVX2"
    if capability != "AVX512":
        return capability
    allowed = limit in ("", "ALL", "DEFAULT") or "AMX" in limit
    return "AMX" if "amx_tile" in features and allowed else "AVX-512"


def commit() -> str:
    """The commit, with "-dirty" where another tracked file than a record differs from it."""

    def git(*args: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True)

    head = git("rev-parse", "--short=12", "HEAD").stdout.strip()
    changed = head and git("diff", "--quiet", "HEAD", "--", ".", f":!{RESULTS.relative_to(ROOT)}").returncode
    return f"{head}-dirty" if changed else head


def save(name: str, record: dict, folder: Path = RESULTS, indent: int | None = 1) -> None:
    """File a record, with its "kind" from `provenance`, beside those of other kinds; it takes the place of its own."""
    path = folder / f"{name}.json"
    records = json.loads(path.read_text()) if path.exists() else {}
    record = dict(record)
    own = record.pop("kind")
    records[own] = with_older_rows(records.get(own, {}), record)
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(sorted(records.items())), indent=indent) + "\n")
    print(f"wrote {folder.name}/{name}.json, {own}", flush=True)


def with_older_rows(old: dict, new: dict) -> dict:
    """`new`, and the rows of a race that only `old` has, where nothing but the rows and the day tells the two apart.

    So a record is one run even where it grew in several: one commit, machine, precision, time and list of seeds.
    """
    apart = ("date", "contenders")
    facts = [{key: value for key, value in record.items() if key not in apart} for record in (old, new)]
    if "contenders" not in new or facts[0] != facts[1] or new["commit"].endswith("-dirty"):
        return new
    return new | {"contenders": old["contenders"] | new["contenders"]}


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
    origin = provenance()
    kept = KEPT / "-".join(str(origin[key]) for key in ("commit", "precision", "kind", "threads"))
    for name in args.names:
        if name == "speed":
            found = speed(origin["kind"])
        else:
            found = race(name, args, races[name], kept)
        save(name, origin | found)


if __name__ == "__main__":
    main()
