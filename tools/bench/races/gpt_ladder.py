"""Our GPT recipe with one thing taken back at a time. The race of gpt compares it with the baseline.

python tools/bench/run.py gpt_ladder --seconds 45 --jobs 2
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from races.gpt import IMAGES, plain, recipe, train  # noqa: F401
from torch import nn

from aigc_lib import data, runtime
from aigc_lib.models import gpt_fast
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.training.language import language_model, pieces
from aigc_lib.training.run import accelerate
from aigc_lib.training.schedule import linear_decay


def ours_but(change: Callable, seconds: float, seed: int, draw: Callable = pieces, **training) -> dict:
    """Our recipe after `change(model)`, which may return another model and a function that makes its job, or None.

    `draw` gives the batches, `training` replaces numbers of the recipe's. Batches hold as many characters as the
    recipe's, whatever the context.
    """
    splits, rng = recipe.load_data(), runtime.seed(seed)
    model, job = change(recipe.build(splits.characters))
    stream = draw(splits, model.context, recipe.BATCH * recipe.CONTEXT // model.context, rng)
    job = (
        language_model(model, stream, accelerate(), "", **(recipe.TRAINING | training))
        if job is None
        else job(model, stream)
    )
    model, steps = train(job, seconds, lambda _, used: linear_decay(used))
    return {"steps": steps, **recipe.metrics(model, splits)}


def adam_for_all(model: FastGPT):
    """Adam for the matrices too, at the rate of the head; weights shrink by as much per step as with Muon."""

    def job(model, stream):
        tables, matrices = (
            [model.token.weight, model.pair.weight],
            [p for p in model.blocks.parameters() if p.ndim == 2],
        )
        known = {id(p) for p in [*tables, *matrices]}
        ours, lr = recipe.TRAINING, 0.003
        groups = [
            {"params": tables, "lr": 0.01, "weight_decay": ours["table_decay"]},
            {"params": matrices, "lr": lr, "weight_decay": ours["decay"] * ours["muon_lr"] / lr},
            {"params": [p for p in model.parameters() if id(p) not in known], "lr": lr, "weight_decay": 0.0},
        ]
        return plain(model, [torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)], stream, longest=ours["longest"])

    return model, job


def other_model(model: FastGPT, **changes):
    """Our recipe's network, built with other arguments."""
    v, pairs = model.token.num_embeddings, model.pair.num_embeddings
    ours = {"context": recipe.CONTEXT, "layers": recipe.LAYERS, "pairs": pairs, "taps": recipe.TAPS}
    return FastGPT(v, **(ours | changes)), None


class WithGELU(gpt_fast.MLP):
    def forward(self, x):
        return self.out(F.gelu(self.hidden(x), approximate="tanh"))


def gelu(model: FastGPT):
    for block in model.blocks:
        block.mlp.__class__ = WithGELU
    return model, None


def random_outputs(model: FastGPT):
    """Output projections from N(0, 0.02^2 / 2L), as GPT-2 has them, not zero."""
    for block in model.blocks:
        for out in (block.attention.out, block.mlp.out):
            nn.init.normal_(out.weight, std=0.02 / math.sqrt(2 * len(model.blocks)))
    return model, None


class WithPositions(nn.Embedding):
    """A token's embedding plus a learned one of its position."""

    def forward(self, tokens):
        return super().forward(tokens) + self.positions[: tokens.shape[1]]


def learned_positions(model: FastGPT):
    """Learned positions in place of rotary ones."""
    model.cos.fill_(1.0)
    model.sin.zero_()
    model.token.__class__ = WithPositions
    model.token.positions = nn.Parameter(0.02 * torch.randn(model.context, model.token.weight.shape[1]))
    return model, None


def same(model: FastGPT):
    """Our recipe's network as it is."""
    return model, None


def random_places(splits, context: int, batch_size: int, rng: torch.Generator):
    """Pieces from random places of the text, as nanoGPT draws them."""
    return data.windows(*splits.training, context + 1, batch_size, rng)


ROWS = {
    "Adam for Muon": partial(ours_but, adam_for_all),
    "context 64": partial(ours_but, partial(other_model, context=64)),
    "256 characters from the start": partial(ours_but, same, longest=None),
    "4 layers": partial(ours_but, partial(other_model, layers=4)),
    "pieces from random places": partial(ours_but, same, draw=random_places),
    "no weight decay": partial(ours_but, same, decay=0.0, table_decay=0.0),
    "no short convolutions": partial(ours_but, partial(other_model, taps=0)),
    "no pairs": partial(ours_but, partial(other_model, pairs=0)),
    "GELU for ReLU squared": partial(ours_but, gelu),
    "learned positions for rotary": partial(ours_but, learned_positions),
    "output projections not 0": partial(ours_but, random_outputs),
    "no cap on logits": partial(ours_but, partial(other_model, cap=1e6)),
    "ours": partial(ours_but, same),
}
