"""Training recipes, one readable function per published checkpoint, and the checkpoints themselves.

    python -m aigc_lib.recipes list
    python -m aigc_lib.recipes train vae --seconds 60
    python -m aigc_lib.recipes show vae

In a chapter: `model = recipes.load("vae")`.
"""

from pathlib import Path

from torch import nn

from aigc_lib.recipes.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from aigc_lib.recipes.vae import build_vae, train_vae

SHIPPED = Path(__file__).parent / "checkpoints"

# name: (build the untrained network, train it)
RECIPES = {"vae": (build_vae, train_vae)}

__all__ = ["CheckpointError", "RECIPES", "SHIPPED", "card", "load", "train"]


def train(name: str, out: str | Path, *, steps: int | None = None, seconds: float | None = None) -> Path:
    """Run recipe `name` for its own number of steps, or as given, and write its checkpoint to folder `out`.

    Returns the path of the checkpoint. Raises ValueError for an unknown name, and OSError when `out`
    cannot be written, before any training.
    """
    _, run = _recipe(name)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    probe = out / f".{name}.probe"
    probe.touch()
    probe.unlink()
    model, facts = run(steps=steps, seconds=seconds)
    return save_checkpoint(model, {"recipe": name, **facts}, out / f"{name}.safetensors")


def load(name: str, folder: str | Path = SHIPPED) -> nn.Module:
    """The trained model of recipe `name`, in evaluation mode, from `folder` (default: the shipped one).

    Raises ValueError for an unknown name and CheckpointError for a missing, damaged or foreign file.
    """
    build, _ = _recipe(name)
    model = build()
    load_checkpoint(model, Path(folder) / f"{name}.safetensors")
    return model.eval()


def card(name: str, folder: str | Path = SHIPPED) -> dict:
    """What is known about a checkpoint: metrics, steps, seconds, machine, seed, versions, checksums."""
    build, _ = _recipe(name)
    return load_checkpoint(build(), Path(folder) / f"{name}.safetensors")


def _recipe(name: str):
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]
