"""The command line: list, train and show recipes."""

import argparse
import json
import sys

from aigc_lib import recipes, runtime
from aigc_lib.data import DataFileError


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="python -m aigc_lib.recipes",
        description="Training recipes and checkpoints.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the recipes, one a line")
    train = commands.add_parser("train", help="train a recipe and write its checkpoint")
    train.add_argument("name")
    length = train.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=int, help="training steps (default: the recipe's own)"
    )
    length.add_argument("--seconds", type=float, help="train for this long instead")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--images",
        metavar="FILE",
        help="an npz file with pictures of your own, instead of MNIST",
    )
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on from the state that an interrupted run left",
    )
    train.add_argument(
        "--out",
        default="checkpoints",
        metavar="DIR",
        help="folder to write to (default: checkpoints)",
    )
    show = commands.add_parser("show", help="the card of a checkpoint")
    show.add_argument("name")
    show.add_argument(
        "--from",
        dest="folder",
        metavar="DIR",
        default=recipes.SHIPPED,
        help="default: the shipped one",
    )
    return top


def main() -> None:
    """Run one command; a user's mistake is one line on stderr and exit status 2."""
    args = parser().parse_args()
    try:
        if args.command == "list":
            for name in recipes.RECIPES:
                print(f"{name:12s} {recipes.recipe(name).train.__doc__.split('.')[0]}.")
        elif args.command == "train":
            options = {"steps": args.steps, "seconds": args.seconds, "seed": args.seed}
            path = recipes.train(
                args.name, args.out, **options, images=args.images, resume=args.resume
            )
            if runtime.is_main_process():
                print(path)
        else:
            print(json.dumps(recipes.card(args.name, args.folder), indent=1))
    except (
        ValueError,
        OSError,
        FloatingPointError,
        recipes.CheckpointError,
        DataFileError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last saved step", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
