"""DALL-E on coloured shapes; asked for combinations that it has never seen."""

import math

import torch

from aigc_lib import data, evaluate, recipes
from aigc_lib.data import shapes
from aigc_lib.models.dalle import DALLE
from aigc_lib.recipes.vqvae_shapes import K
from aigc_lib.sample.pictures import best_of, fit_to_text, paint
from aigc_lib.training.captions import captioned, every_drawing, shape_rows
from aigc_lib.training.codes import encoded
from aigc_lib.training.pairs import SHAPE_WORDS, shape_pairs
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH = 3_000, 32
LEANS_ON = ("vqvae_shapes", "clip_shapes")


def build(words: str) -> DALLE:
    """The untrained network for captions of these words."""
    return DALLE(data.Words(words.split(), SHAPE_WORDS), K, layers=3, width=96)


def load_data(own=None) -> Splits:
    """Tokens and labels of all pictures to train on; held-out pictures, labels."""
    pairs = shape_pairs(own)
    training = every_drawing(recipes.load("vqvae_shapes"))
    return Splits(training, pairs.held_out, pairs.sha256, pairs.characters)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Each picture with its caption in one of four wordings, drawn afresh."""
    model = build(splits.characters)
    pairs = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    rows = shape_rows(pairs, model, rng)
    return captioned(model, rows, accelerator, splits.characters)


def metrics(model: DALLE, splits: Splits) -> dict[str, float]:
    """Bits of held-out pictures; what drawn ones show, of held-out combinations."""
    model, (pictures, labels) = model.cpu(), splits.held_out
    vqvae, clip = (recipes.load(name) for name in LEANS_ON)
    told, tokens = model.captions(shapes.captions(labels)), encoded(vqvae, pictures)
    nats = evaluate.pair_nats(model, model.rows(told, tokens), model.text).mean(0)
    every, found = labels.unique(dim=0), {"image_bits": nats[1].item() / math.log(2)}
    texts = shapes.captions(every)
    for name, w in (("", 1.0), ("_guided", 2.0)):
        rng = torch.Generator().manual_seed(0)
        drawn = paint(model, vqvae, texts, n=4, w=w, generator=rng)  # (L, 4, …)
        seen = shapes.read_shapes(drawn.flatten(0, 1)).view(*drawn.shape[:2], 3)
        right = (seen == every[:, None]).float()  # (L, 4, 3)
        for i, kind in enumerate(shapes.KINDS):
            found[kind + name] = right[..., i].mean().item()
        found["all" + name] = right.prod(2).mean().item()
        best = best_of(right.prod(2), fit_to_text(clip, drawn, texts))
        found[f"all{name}_best_of_4"] = best.mean().item()
    return found
