"""Race contenders at equal time and write what they reached to aigc_lib/evaluate/results.

    python tools/bench/run.py                 every bench
    python tools/bench/run.py vae --seconds 60 --seeds 0 1 2

Each contender and seed runs in a fresh process of its own, one after the other; run nothing else meanwhile.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from aigc_lib import runtime

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent.parent / "aigc_lib" / "evaluate" / "results"
CONTENDERS = ["ours", "published", "real"]  # "real" is held-out data, without training
RACES = sorted(path.stem for path in (HERE / "races").glob("*.py"))
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}  # what most laptops have


def child(*args: str, **environment: str) -> dict:
    """Run contender.py in a fresh process; its last line of output is JSON."""
    command = [sys.executable, str(HERE / "contender.py"), *args]
    done = subprocess.run(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def race(name: str, seconds: float, seeds: list[int]) -> dict:
    """{contender: {"mean": …, "sd": …, "runs": …}} of every number that the contenders report."""
    results = {}
    for contender in CONTENDERS:
        runs = []
        for seed in seeds if contender != "real" else seeds[:1]:
            print(f"{name}: {contender}, seed {seed} …", flush=True)
            runs.append(child("race", name, contender, "--seconds", str(seconds), "--seed", str(seed)))
        columns = {key: [run[key] for run in runs] for key in runs[0]}
        results[contender] = {
            "mean": {key: statistics.mean(values) for key, values in columns.items()},
            "sd": {key: statistics.stdev(values) if len(values) > 1 else 0.0 for key, values in columns.items()},
            "runs": runs,
        }
    return {"seconds": seconds, "seeds": seeds, "contenders": results}


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Race contenders at equal time, each in a fresh process.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(RACES)}, speed (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    if unknown := set(args.names) - {*RACES, "speed"}:
        sys.exit(f"unknown bench {sorted(unknown)[0]!r}; known: {', '.join(RACES)}, speed")
    torch.set_num_threads(os.cpu_count() or 1)
    RESULTS.mkdir(exist_ok=True)
    origin = provenance()  # before the first record is written, which makes the tree dirty
    for name in args.names or [*RACES, "speed"]:
        found = speed() if name == "speed" else race(name, args.seconds, args.seeds)
        (RESULTS / f"{name}.json").write_text(json.dumps(origin | found, indent=1) + "\n")
        print(f"wrote {RESULTS.name}/{name}.json")


if __name__ == "__main__":
    main()
