"""A small GPT on a text of your own, character by character (default: Shakespeare)."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from aigc_lib import data, evaluate
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.training.language import language_model, pieces, split_text
from aigc_lib.training.language import two_samples as samples  # noqa: F401
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, CONTEXT, LAYERS, TAPS = 2_000, 12, 256, 3, 2
LEANS_ON = ()
MOST_PAIRS = 4_900  # rows; with more than 70 characters, pairs of them share rows


def longest(rate: float) -> int:
    """Short pieces, which are fast, while the rate is high; long ones as it falls."""
    return 64 if rate > 0.99 else 128 if rate > 0.4 else CONTEXT


TRAINING = {"muon_lr": 0.014, "decay": 0.1, "table_decay": 1.0, "longest": longest}


def build(characters: str, layers: int = LAYERS) -> FastGPT:
    """The untrained network for texts of these characters."""
    v = len(characters)
    model = FastGPT(v, CONTEXT, layers, pairs=min(v * v, MOST_PAIRS), taps=TAPS)
    model.characters = characters
    return model


def load_data(own: str | Path | None = None) -> Splits:
    """Shakespeare, or a text of the reader's own of at least 3,840 characters."""
    if own is None:
        return split_text(data.shakespeare(), data.checksum("shakespeare"))
    text = data.own_text(own, at_least=15 * CONTEXT)
    return split_text(text, hashlib.sha256(Path(own).read_bytes()).hexdigest())


def prepare(
    splits: Splits, accelerator, rng: torch.Generator, build: Callable = build
) -> Job:
    """Pieces, each once in a pass."""
    characters = splits.characters
    batches = pieces(splits, CONTEXT, BATCH, rng)
    model = build(characters)
    return language_model(model, batches, accelerator, characters, **TRAINING)


def metrics(model: FastGPT, splits: Splits) -> dict[str, float]:
    """Nats and bits per character of the held-out text."""
    found = evaluate.text_loss(model, *splits.held_out, model.context)
    return {"val_loss": found["loss"], "bits_per_character": found["bits"]}
