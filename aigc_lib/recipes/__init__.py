"""Training recipes, one readable function per published checkpoint, and the checkpoints themselves.

    python -m aigc_lib.recipes list
    python -m aigc_lib.recipes train vae --seconds 60
    accelerate launch --multi_gpu --num_processes 2 -m aigc_lib.recipes train vae
    python -m aigc_lib.recipes show vae

Accelerate's flag names its launcher, which starts CPU processes as well where there is no GPU (or with
AIGC_DEVICE=cpu). In a chapter: `model = recipes.load("vae")`.

A recipe is a module or an object with `build()`, the untrained network, `train(...)`, which returns it trained,
`metrics(...)` on held-out data, and `labelled`: one that needs labels takes no pictures of the reader's own.
"""

import time
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from aigc_lib import data, runtime
from aigc_lib.recipes import digits, gan, vae
from aigc_lib.recipes.checkpoint import SHIPPED, CheckpointError, load_checkpoint, save_checkpoint
from aigc_lib.recipes.digits import features as digit_features

RECIPES: dict[str, ModuleType | gan.Game] = {
    "vae": vae,
    "digits": digits,
    "gan": gan.GAN,
    "cgan": gan.CGAN,
    "projection": gan.PROJECTION,
    "sagan": gan.SAGAN,
    "stylegan": gan.STYLEGAN,
}

__all__ = ["CheckpointError", "RECIPES", "SHIPPED", "card", "digit_features", "load", "train"]


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
    """Run recipe `name` for its own number of steps, or as given, and write its checkpoint to folder `out`.

    images: an npz file with the reader's own pictures to train on instead of MNIST. While it runs,
    `out/NAME.state.safetensors` keeps the state of every 500th step; `resume` goes on from there.
    Returns the path of the checkpoint. Raises ValueError for an unknown name or unfit pictures,
    OSError when `out` cannot be written (before any training), CheckpointError when there is nothing to resume.
    """
    recipe = _recipe(name)
    if steps is None and seconds is None:
        steps = recipe.STEPS
    if (steps or seconds or 0) <= 0:
        raise ValueError(f"steps={steps}, seconds={seconds}: expected more than 0")
    training, held_out, checksum = _pictures(name, images, recipe.BATCH)
    path = _writable(Path(out)) / f"{name}.safetensors"
    state = path.with_suffix(".state.safetensors")
    identity = {"recipe": name, "steps": steps, "seed": seed, "data_sha256": checksum}
    start = time.perf_counter()
    limits = {"steps": steps, "seconds": seconds, "seed": seed, "resume": resume}
    model, done = recipe.train(state=state, identity=identity, **limits, **training)
    took = time.perf_counter() - start
    if runtime.is_main_process():
        card = {
            **identity,
            "steps": done,
            "seconds": round(took, 1),
            "metrics": recipe.metrics(model, training, held_out),
            **runtime.facts(),
        }
        save_checkpoint(model, card, path)
        state.unlink(missing_ok=True)
    return path


def load(name: str, folder: str | Path = SHIPPED) -> nn.Module:
    """The trained model of recipe `name`, in evaluation mode, from `folder` (default: the shipped one).

    Raises ValueError for an unknown name and CheckpointError for a missing, damaged or foreign file.
    """
    model = _recipe(name).build()
    load_checkpoint(model, Path(folder) / f"{name}.safetensors")
    return model.eval()


def card(name: str, folder: str | Path = SHIPPED) -> dict:
    """What is known about a checkpoint: metrics, steps, seconds, machine, seed, versions, checksums."""
    return load_checkpoint(_recipe(name).build(), Path(folder) / f"{name}.safetensors")


def _recipe(name: str) -> ModuleType | gan.Game:
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def _pictures(name: str, file: str | Path | None, batch: int) -> tuple[dict, dict, str]:
    """Training and held-out tensors as keyword arguments of the recipe, and the checksum of their source."""
    if file is None:
        parts = []
        for split in ("train", "test"):
            images, labels = data.mnist(split)
            parts.append({"images": images, "labels": labels} if _recipe(name).labelled else {"images": images})
        return *parts, data.checksum("mnist")
    if _recipe(name).labelled:
        raise ValueError(f"recipe {name!r} needs labels: it cannot train on pictures alone")
    images, checksum = data.own_images(file, shape=(1, 28, 28), at_least=2 * batch)
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
    return {"images": images[: -len(images) // 10]}, {"images": images[-len(images) // 10 :]}, checksum


def _writable(out: Path) -> Path:
    """Make the folder and try to write in it, so that a wrong `out` fails before the training, not after."""
    out.mkdir(parents=True, exist_ok=True)
    probe = out / f".probe-{runtime.process_index()}"
    probe.touch()
    probe.unlink()
    return out
