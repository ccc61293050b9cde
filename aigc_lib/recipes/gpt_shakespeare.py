"""The GPT of recipe gpt on Shakespeare, with a layer more, trained by steps."""

from functools import partial

import torch

from aigc_lib.recipes import gpt
from aigc_lib.recipes.gpt import LEANS_ON, metrics
from aigc_lib.training.language import language_model, pieces
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

__all__ = ["LEANS_ON", "STEPS", "build", "load_data", "metrics", "prepare"]

STEPS, BATCH = 1_600, 16
build = partial(gpt.build, layers=4)


def load_data(own=None) -> Splits:
    """Shakespeare."""
    if own is not None:
        raise ValueError(f"file {own}: this recipe has its own text; try gpt")
    return gpt.load_data()


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Pieces, each once in a pass."""
    characters = splits.characters
    batches = pieces(splits, gpt.CONTEXT, BATCH, rng)
    return language_model(build(characters), batches, accelerator, characters)
