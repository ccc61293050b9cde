"""Training recipes, one readable function per checkpoint, and the checkpoints.

    python -m aigc_lib.recipes list
    python -m aigc_lib.recipes train vae --seconds 60
    accelerate launch --multi_gpu --num_processes 2 -m aigc_lib.recipes train vae
    python -m aigc_lib.recipes show vae

Accelerate's flag names its launcher, which starts CPU processes as well where there is
no GPU (or with AIGC_DEVICE=cpu). In a chapter: `model = recipes.load("vae")`.

A recipe is a module or an object with `build()`, the untrained network, `train(...)`,
which returns it trained, `metrics(...)` on held-out data, and `labelled`: one that
needs labels takes no pictures of the reader's own. It is imported when asked for.
"""

import time
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from aigc_lib import data, runtime
from aigc_lib.evaluate.samples import Features
from aigc_lib.recipes.checkpoint import (
    SHIPPED,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)

RECIPES = {  # name: module, and the object in it where one module holds several
    "vae": "vae",
    "digits": "digits",
    "gan": "gan.GAN",
    "cgan": "gan.CGAN",
    "projection": "gan.PROJECTION",
    "sagan": "gan.SAGAN",
    "stylegan": "gan.STYLEGAN",
}

__all__ = [
    "CheckpointError",
    "RECIPES",
    "SHIPPED",
    "card",
    "digit_features",
    "load",
    "recipe",
    "train",
]


def recipe(name: str) -> ModuleType | object:
    """Import and return recipe `name`; raises ValueError for an unknown name."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    module, _, attribute = RECIPES[name].partition(".")
    found = import_module(f"aigc_lib.recipes.{module}")
    return getattr(found, attribute) if attribute else found


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
) -> Path:
    """Run recipe `name` and write its checkpoint to folder `out`; return its path.

    It takes the recipe's own number of steps, or as given. images: an npz file with
    the reader's own pictures to train on instead of MNIST. While it runs,
    `out/NAME.state.safetensors` keeps the state of every 500th step; `resume` goes on
    there. Raises ValueError for an unknown name or unfit pictures, OSError when
    `out` cannot be written (before any training), CheckpointError when there is nothing
    to resume.
    """
    chosen = recipe(name)
    if steps is None and seconds is None:
        steps = chosen.STEPS
    if (steps or seconds or 0) <= 0:
        raise ValueError(f"steps={steps}, seconds={seconds}: expected more than 0")
    training, held_out, checksum = _pictures(name, images, chosen.BATCH)
    path = _writable(Path(out)) / f"{name}.safetensors"
    state = path.with_suffix(".state.safetensors")
    identity = {"recipe": name, "steps": steps, "seed": seed, "data_sha256": checksum}
    start = time.perf_counter()
    limits = {"steps": steps, "seconds": seconds, "seed": seed, "resume": resume}
    model, done = chosen.train(state=state, identity=identity, **limits, **training)
    took = time.perf_counter() - start
    if runtime.is_main_process():
        card = {
            **identity,
            "steps": done,
            "seconds": round(took, 1),
            "metrics": chosen.metrics(model, training, held_out),
            **runtime.facts(),
        }
        save_checkpoint(model, card, path)
        state.unlink(missing_ok=True)
    return path


def load(name: str, folder: str | Path = SHIPPED) -> nn.Module:
    """The trained model of recipe `name` from `folder`, in evaluation mode.

    Raises ValueError for an unknown name and CheckpointError for a missing, damaged or
    foreign file.
    """
    model = recipe(name).build()
    load_checkpoint(model, Path(folder) / f"{name}.safetensors")
    return model.eval()


def card(name: str, folder: str | Path = SHIPPED) -> dict:
    """What a checkpoint says of itself: metrics, steps, seconds, machine, seed, …"""
    return load_checkpoint(recipe(name).build(), Path(folder) / f"{name}.safetensors")


def _pictures(name: str, file: str | Path | None, batch: int) -> tuple[dict, dict, str]:
    """Training and held-out tensors as the recipe wants them, and a checksum."""
    labelled = recipe(name).labelled
    if file is None:
        parts = []
        for split in ("train", "test"):
            images, labels = data.mnist(split)
            extra = {"labels": labels} if labelled else {}
            parts.append({"images": images, **extra})
        return *parts, data.checksum("mnist")
    if labelled:
        raise ValueError(f"recipe {name!r} needs labels: pictures alone are not enough")
    images, checksum = data.own_images(file, shape=(1, 28, 28), at_least=2 * batch)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    cut = len(images) * 9 // 10
    training, held_out = images[order[:cut]], images[order[cut:]]
    return {"images": training}, {"images": held_out}, checksum


def _writable(out: Path) -> Path:
    """Make the folder and write in it: a wrong `out` fails before the training."""
    out.mkdir(parents=True, exist_ok=True)
    probe = out / f".probe-{runtime.process_index()}"
    probe.touch()
    probe.unlink()
    return out
