"""CLIP on emoji and their names, shifted a little; held out are whole groups."""

import torch

from aigc_lib import data, evaluate
from aigc_lib.models.clip import CLIP, small_clip
from aigc_lib.training.pairs import NAME_WORDS, contrastive, encoded
from aigc_lib.training.pairs import emoji_pairs as load_data
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

__all__ = ["LEANS_ON", "STEPS", "build", "load_data", "metrics", "prepare"]

STEPS, BATCH = 800, 128
LEANS_ON = ()


def build(words: str) -> CLIP:
    """The untrained network for names of these words."""
    return small_clip(words, NAME_WORDS, width=96, layers=2)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Each picture is shifted by up to two pixels along each axis."""
    clip = build(splits.characters)

    def batches():
        pairs = data.batches(*splits.training, batch_size=BATCH, generator=rng)
        for images, tokens in pairs:
            shifts = torch.randint(-2, 3, (BATCH, 2), generator=rng).tolist()
            moved = [x.roll(s, (1, 2)) for x, s in zip(images, shifts, strict=True)]
            yield torch.stack(moved), tokens

    build_again = {"words": splits.characters}
    return contrastive(clip, batches(), accelerator, build_again)


def metrics(clip: CLIP, splits: Splits) -> dict[str, float]:
    """Which name belongs to a picture? Of 16, and of all: known ones and held-out."""
    found = {}
    for part, pairs in (("train", splits.training), ("held_out", splits.held_out)):
        images, texts = encoded(clip, *pairs)
        similar, right = images @ texts.T, torch.arange(len(images))
        found[f"{part}_choice_16"] = evaluate.choice(similar, right, 16)
        found[f"{part}_recall_1"] = evaluate.recall(similar, right, 1)
    return found
