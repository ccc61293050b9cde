"""CLIP on coloured shapes and captions; measured on combinations it has never seen."""

import torch

from aigc_lib import data, evaluate
from aigc_lib.data import shapes
from aigc_lib.models.clip import CLIP, small_clip
from aigc_lib.training.pairs import SHAPE_WORDS, contrastive, drawn, encoded
from aigc_lib.training.pairs import shape_pairs as load_data
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

__all__ = ["LEANS_ON", "STEPS", "build", "load_data", "metrics", "prepare"]

STEPS, BATCH = 600, 128
LEANS_ON = ()


def build(words: str) -> CLIP:
    """The untrained network for captions of these words."""
    return small_clip(words, SHAPE_WORDS, layers=2)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """No combination occurs twice in a batch, so that no negative is a right one."""
    clip = build(splits.characters)
    labels = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    batches = drawn(labels, clip.words, rng)
    build_again = {"words": splits.characters}
    return contrastive(clip, batches, accelerator, build_again)


def metrics(clip: CLIP, splits: Splits) -> dict[str, float]:
    """Which caption belongs to a picture? Of 16, and of all held-out ones."""
    pictures, labels = splits.held_out
    every, right = labels.unique(dim=0, return_inverse=True)
    tokens = clip.tokens(shapes.captions(every))
    images, texts = encoded(clip, pictures, tokens)
    similar = images @ texts.T
    ways = min(16, len(every))
    return {
        "choice_16": evaluate.choice(similar, right, ways),
        "recall_1": evaluate.recall(similar, right, 1),
    }
