"""One row of a race, or one measurement of speed, in a process of its own; prints one line of JSON.

A race is a file in races/, named like the recipe in it; its ROWS are functions of (seconds, seed) by name. "ours" is
the recipe and its metrics, unless the race has a row of this name.
"""

import argparse
import json
import tempfile
import time
from importlib import import_module

from speed import speed

from aigc_lib import data, evaluate, recipes


def ours(name: str, seconds: float, seed: int) -> dict:
    """Our recipe for the same time."""
    with tempfile.TemporaryDirectory() as folder:
        recipes.train(name, folder, seconds=seconds, seed=seed)
        card = recipes.card(name, folder)
    return {"steps": card["steps"], **card["metrics"]}


def real() -> dict:
    """10,000 training digits in place of samples: the best that any model of them can reach."""
    return evaluate.measure(data.mnist("train")[0][:10_000], data.mnist("test")[0], recipes.digit_features())


def contender(name: str, row: str, seconds: float, seed: int) -> dict:
    """What one row of a race reaches."""
    if row == "real":
        return real()
    rows = import_module(f"races.{name}").ROWS
    return rows[row](seconds, seed) if row in rows else ours(name, seconds, seed)


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    race = commands.add_parser("race")
    race.add_argument("name")
    race.add_argument("row")
    race.add_argument("--seconds", type=float, required=True)
    race.add_argument("--seed", type=int, required=True)
    race.add_argument("--processor-time", action="store_true", help="which other processes do not use up")
    rows = commands.add_parser("rows")
    rows.add_argument("name")
    commands.add_parser("speed")
    args = parser.parse_args()
    if args.command == "speed":
        found = speed()
    elif args.command == "rows":
        race = import_module(f"races.{args.name}")
        found = list(dict.fromkeys([*race.ROWS, "ours"])) + ["real"] * getattr(race, "IMAGES", True)
    else:
        if args.processor_time:
            time.perf_counter = time.process_time  # the clock of every loop of ours
        found = contender(args.name, args.row, args.seconds, args.seed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
