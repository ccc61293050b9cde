"""Training recipes, one file per checkpoint, and the checkpoints.

    python -m aigc_lib.recipes list
    python -m aigc_lib.recipes train vae --seconds 60
    accelerate launch --multi_gpu --num_processes 2 -m aigc_lib.recipes train vae
    python -m aigc_lib.recipes show vae
    python -m aigc_lib.recipes verify vae

Accelerate's flag names its launcher, which starts CPU processes as well where there is
no GPU (or with AIGC_DEVICE=cpu). Ranks come from a launcher only: a RANK that stands in
the environment without one is refused. In a chapter: `model = recipes.load("vae")`.

A recipe is a module of this package. The first line of its docstring says what is
special in it. It holds `build()`, the untrained network to keep; `load_data(own=None)`,
which returns `Splits`; `prepare(splits, accelerator, rng)`, which returns a `Job`;
`metrics(model, splits)` on held-out data; `STEPS`; and `LEANS_ON`, the recipes whose
checkpoints its metrics use. It is imported when it is asked for.
"""

import math
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from torch import nn

from aigc_lib.evaluate.samples import Features
from aigc_lib.training.checkpoint import (
    CheckpointError,
    checksum,
    load_checkpoint,
    read_card,
)
from aigc_lib.training.run import Watch, run

SHIPPED = Path(__file__).parent / "checkpoints"
TOLERANCE = 0.01  # of a metric measured again: processors and precisions differ

__all__ = [
    "CheckpointError",
    "SHIPPED",
    "agree",
    "card",
    "digit_features",
    "load",
    "names",
    "recipe",
    "train",
    "verify",
]


def names() -> list[str]:
    """All recipes: the modules of this package, by file name."""
    return [m.name for m in iter_modules(__path__) if not m.name.startswith("_")]


def recipe(name: str) -> ModuleType:
    """Import and return recipe `name`; raises ValueError for an unknown name."""
    return import_module(f"aigc_lib.recipes.{_known(name)}")


def digit_features() -> Features:
    """The meter's feature space: images (B, 1, 28, 28) -> features, probabilities."""
    return recipe("digits").features()


def train(
    name: str,
    out: str | Path,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    images: str | Path | None = None,
    resume: bool = False,
    save_every: int = 500,
    watch: Watch | None = None,
) -> Path:
    """Run recipe `name` and write its checkpoint to folder `out`; return its path.

    It takes the recipe's own number of steps, or as given. images: an npz file with
    the reader's own pictures to train on instead of MNIST. While it runs,
    `out/NAME.state.safetensors` keeps the state of every `save_every`-th step; `resume`
    goes on there. watch(step, batch, logs) is called after each step. Raises ValueError
    for an unknown name or unfit pictures; OSError when `out` cannot be written or
    another run writes there; CheckpointError when there is nothing to resume, when
    there is something and `resume` is not asked for, and when a checkpoint that the
    metrics use is missing or damaged. All of this comes before any training.
    """
    chosen = recipe(name)
    if steps is None and seconds is None:
        steps = chosen.STEPS
    for needed in chosen.LEANS_ON:
        load(needed)  # so that a damaged one is found before the training
    leans_on = _checksums(chosen)
    return run(
        chosen,
        chosen.load_data(images),
        Path(out) / f"{name}.safetensors",
        steps=steps,
        seconds=seconds,
        seed=seed,
        resume=resume,
        leans_on=leans_on,
        save_every=save_every,
        watch=watch,
    )


def load(name: str, folder: str | Path = SHIPPED) -> nn.Module:
    """The trained model of recipe `name` from `folder`, in evaluation mode.

    Raises ValueError for an unknown name and CheckpointError for a missing, damaged or
    foreign file.
    """
    model, path = recipe(name).build(), _path(name, folder)
    _expect_recipe(name, load_checkpoint(model, path), path)
    return model.eval()


def card(name: str, folder: str | Path = SHIPPED) -> dict:
    """What a checkpoint says of itself: metrics, steps, seconds, machine, seed, …"""
    path = _path(_known(name), folder)
    return _expect_recipe(name, read_card(path), path)


def verify(
    name: str, folder: str | Path = SHIPPED, images: str | Path | None = None
) -> tuple[dict, dict]:
    """Measure a checkpoint again: what its card says, and what is found now.

    Both hold the metrics, and the checksums of the data and of the checkpoints that
    the metrics lean on, as far as the card has them. `agree` compares two values.
    """
    stated, chosen = card(name, folder), recipe(name)
    said = _measured(stated, _path(name, folder))
    splits = chosen.load_data(images)
    found = chosen.metrics(load(name, folder), splits)
    found |= {"data_sha256": splits.sha256} | _checksums(chosen)
    return said, {key: found.get(key) for key in said}


def agree(a: float | str | None, b: float | str | None) -> bool:
    """Whether two numbers are equal within TOLERANCE, or two checksums exactly."""
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return a == b
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-3)


def _known(name: str) -> str:
    if name not in names():
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(names())}")
    return name


def _path(name: str, folder: str | Path) -> Path:
    return Path(folder) / f"{name}.safetensors"


def _expect_recipe(name: str, card: dict, path: Path) -> dict:
    if card.get("recipe") != name:
        raise CheckpointError(
            f"checkpoint {path} was written by recipe {card.get('recipe')!r}: "
            f"expected {name!r}"
        )
    return card


def _measured(card: dict, path: Path) -> dict[str, float | str]:
    """The metrics and the checksums in a card: a number or a text each."""
    try:
        said = card["metrics"] | {"data_sha256": card["data_sha256"]}
        said |= card.get("leans_on", {})
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {path} has no metrics in its card"
        ) from error
    for key, value in said.items():
        if not isinstance(value, int | float | str):
            raise CheckpointError(
                f"checkpoint {path}: {key} is {value!r} in its card, expected a number"
            )
    return said


def _checksums(chosen: ModuleType) -> dict[str, str]:
    """The SHA-256 of each shipped checkpoint that the recipe's metrics use."""
    return {
        f"{name}_sha256": checksum(_path(name, SHIPPED)) for name in chosen.LEANS_ON
    }
