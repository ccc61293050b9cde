"""One contender of a race, or one measurement of speed, in a process of its own; prints one line of JSON.

A race is a file in races/, which holds `published(seconds, seed)`, named like the recipe it races against.
"""

import argparse
import json
import tempfile
from importlib import import_module

from speed import speed

from aigc_lib import data, evaluate, recipes


def ours(name: str, seconds: float, seed: int) -> dict:
    """Our recipe for the same time."""
    with tempfile.TemporaryDirectory() as folder:
        recipes.train(name, folder, seconds=seconds, seed=seed)
        card = recipes.card(name, folder)
    return {"steps": card["steps"], **card["metrics"]}


def published(name: str, seconds: float, seed: int) -> dict:
    """The baseline of the race."""
    return import_module(f"races.{name}").published(seconds, seed)


def real(name: str, seconds: float, seed: int) -> dict:
    """10,000 training digits in place of samples: the best that any model of them can reach."""
    return evaluate.measure(data.mnist("train")[0][:10_000], data.mnist("test")[0], recipes.digit_features())


CONTENDERS = {"ours": ours, "published": published, "real": real}


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    race = commands.add_parser("race")
    race.add_argument("name")
    race.add_argument("contender", choices=CONTENDERS)
    race.add_argument("--seconds", type=float, required=True)
    race.add_argument("--seed", type=int, required=True)
    commands.add_parser("speed")
    args = parser.parse_args()
    if args.command == "speed":
        found = speed()
    else:
        found = CONTENDERS[args.contender](args.name, args.seconds, args.seed)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
