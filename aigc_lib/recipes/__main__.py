"""The command line: list, train, show and verify recipes."""

import argparse
import json
import sys

from aigc_lib import recipes, runtime
from aigc_lib.data import DataFileError

MISTAKES = (
    ValueError,
    OSError,
    FloatingPointError,
    recipes.CheckpointError,
    DataFileError,
)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="python -m aigc_lib.recipes",
        description="Training recipes and checkpoints.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the recipes, one a line")
    train = commands.add_parser("train", help="train a recipe and write its checkpoint")
    show = commands.add_parser("show", help="the card of a checkpoint")
    verify = commands.add_parser("verify", help="measure a checkpoint again")
    for command in (train, show, verify):
        command.add_argument("name")
    for command in (show, verify):
        command.add_argument(
            "--from",
            dest="folder",
            metavar="DIR",
            default=recipes.SHIPPED,
            help="default: the shipped one",
        )
    for command in (train, verify):
        command.add_argument(
            "--images",
            metavar="FILE",
            help="an npz file with pictures of your own, instead of MNIST",
        )
    _options_of_train(train)
    return top


def _options_of_train(train: argparse.ArgumentParser) -> None:
    length = train.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=int, help="training steps (default: the recipe's own)"
    )
    length.add_argument("--seconds", type=float, help="train for this long instead")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state that an interrupted run by steps left",
    )
    train.add_argument(
        "--save-every",
        type=int,
        default=500,
        metavar="N",
        help="steps between two savings of the state (default: 500)",
    )
    train.add_argument(
        "--out",
        default="checkpoints",
        metavar="DIR",
        help="folder to write to (default: checkpoints)",
    )


def main() -> None:
    """Run one command; a user's mistake is one line on stderr and exit status 2."""
    sys.stdout.reconfigure(errors="backslashreplace")  # a path may not fit its encoding
    args = parser().parse_args()
    commands = {"list": _list, "train": _train, "show": _show, "verify": _verify}
    try:
        commands[args.command](args)
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"stopped{f'; {stop}' if str(stop) else ''}", file=sys.stderr)
        sys.exit(130)


def _list(args: argparse.Namespace) -> None:
    for name in recipes.names():
        print(f"{name:12s} {recipes.recipe(name).__doc__.splitlines()[0]}")


def _train(args: argparse.Namespace) -> None:
    path = recipes.train(
        args.name,
        args.out,
        steps=args.steps,
        seconds=args.seconds,
        seed=args.seed,
        images=args.images,
        resume=args.resume,
        save_every=args.save_every,
    )
    if runtime.is_main_process():
        print(path)


def _show(args: argparse.Namespace) -> None:
    print(json.dumps(recipes.card(args.name, args.folder), indent=1))


def _verify(args: argparse.Namespace) -> None:
    """Print what the card says beside what is found; exit status 1 if they differ."""
    said, found = recipes.verify(args.name, args.folder, args.images)
    differ = [key for key in said if not recipes.agree(said[key], found[key])]
    print(f"{'':22s} {'card':>12s} {'now':>12s}")
    for key in said:
        pair = (f"{_short(value):>12s}" for value in (said[key], found[key]))
        print(f"{key:22s}", *pair, "differs" if key in differ else "")
    sys.exit(1 if differ else 0)


def _short(value: float | str | None) -> str:
    if value is None:
        return "none"
    return value[:12] if isinstance(value, str) else f"{value:.4f}"


if __name__ == "__main__":
    main()
