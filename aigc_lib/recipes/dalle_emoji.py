"""DALL-E on emoji and their names, shifted a little; held out are whole groups."""

import math

import torch

from aigc_lib import data, evaluate, recipes
from aigc_lib.models.dalle import DALLE
from aigc_lib.recipes.vqvae_emoji import K
from aigc_lib.sample.pictures import paint
from aigc_lib.training.captions import captioned, name_rows, shifted
from aigc_lib.training.codes import encoded
from aigc_lib.training.pairs import NAME_WORDS, emoji_pairs
from aigc_lib.training.pairs import encoded as vectors
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH = 2_000, 32
LEANS_ON = ("vqvae_emoji", "clip_emoji")


def build(words: str) -> DALLE:
    """The untrained network for names of these words."""
    return DALLE(data.Words(words.split(), NAME_WORDS), K, layers=3, width=128)


def load_data(own=None) -> Splits:
    """Tokens of the pictures, nine shifts of each, with the number of the emoji."""
    pairs, vqvae = emoji_pairs(own), recipes.load("vqvae_emoji")
    tokens = encoded(vqvae, shifted(pairs.training[0]))
    numbers = torch.arange(len(pairs.training[0])).repeat(9)
    held_out = encoded(vqvae, pairs.held_out[0]), pairs.held_out[1]
    return Splits((tokens, numbers), held_out, pairs.sha256, pairs.characters)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """A word of a name is left out now and then."""
    model = build(splits.characters)
    pairs = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    rows = name_rows(pairs, data.emoji("train").names, model, rng)
    return captioned(model, rows, accelerator, splits.characters, decay=0.05)


def metrics(model: DALLE, splits: Splits) -> dict[str, float]:
    """Bits of held-out pictures with and without their names; CLIP on drawn ones."""
    model, (pictures, captions) = model.cpu(), splits.held_out
    blank, found = model.blank().expand_as(captions), {}
    for name, text in (("", captions), ("_without_name", blank)):
        nats = evaluate.pair_nats(model, model.rows(text, pictures), model.text)
        found[f"image_bits{name}"] = nats[:, 1].mean().item() / math.log(2)
    vqvae, clip = (recipes.load(name) for name in LEANS_ON)
    for part in ("train", "held_out"):
        names = data.emoji(part.replace("_", " ")).names
        texts = names[:: max(1, len(names) // 150)]
        rng = torch.Generator().manual_seed(0)
        drawn = paint(model, vqvae, texts, w=2.0, generator=rng)[:, 0]
        images, words = vectors(clip, drawn, clip.tokens(texts))
        right = torch.arange(len(texts))
        found[f"{part}_choice_16"] = evaluate.choice(images @ words.T, right, 16)
    return found
