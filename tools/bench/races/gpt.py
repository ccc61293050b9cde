"""nanoGPT's published configuration for a CPU against our recipe, and our recipe with one thing taken back.

Equal time, the same text and characters, the first nine tenths for training, the last tenth for the loss; all rows
compute in the machine's faster precision.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer

from aigc_lib import data, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models import gpt_fast
from aigc_lib.models.gpt import GPT
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.training.language import language_model, pieces
from aigc_lib.training.run import Job, accelerate
from aigc_lib.training.schedule import linear_decay, scheduler, warmup_cosine

recipe = recipes.recipe("gpt")
IMAGES = False  # so there is no row of real images


def published(seconds: float, seed: int) -> dict:
    """4 layers, 4 heads, 128 wide, context 64, batch 12, no dropout; AdamW from 1e-3 to 1e-4, beta2 0.99, clipped at 1.

    From the README of nanoGPT and its config/train_shakespeare_char.py; weight decay 0.1 on matrices, as there. Here
    the rate falls over the time, not over 2,000 steps.
    """
    splits, rng = recipe.load_data(), runtime.seed(seed)
    model = GPT(len(splits.characters), context=64, layers=4, heads=4, width=128)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def factor(step: int, used: float) -> float:
        cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * used))
        return min(1.0, (step + 1) / 100) * cosine

    batches = data.windows(*splits.training, 65, 12, rng)
    return finish(model, plain(model, [adam], batches, clip=1.0), seconds, splits, factor)


def plain(model: nn.Module, optimizers: list[Optimizer], batches, clip: float = math.inf) -> Job:
    """Next-token prediction without Accelerate."""

    def update(batch: tuple) -> dict:
        (pieces,) = batch
        with runtime.autocast():
            logits = model(pieces[:, :-1])
        loss = losses.next_token_loss(logits, pieces[:, 1:])
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for optimizer in optimizers:
            optimizer.step()
        return {"loss": loss}

    parts = {str(i): optimizer for i, optimizer in enumerate(optimizers)}
    return Job(model, parts, batches, update)


def finish(model, job: Job, seconds: float, splits, factor: Callable[[int, float], float]) -> dict:
    """Train for `seconds` and measure."""
    optimizers = [part for part in job.parts.values() if isinstance(part, Optimizer)]
    step_now = [0]
    set_rates = scheduler(optimizers, lambda used: factor(step_now[0], used), seconds=seconds)

    def update(batch: tuple) -> dict:
        set_rates(step_now[0])
        step_now[0] += 1
        return job.update(batch)

    for step, _ in fit(update, job.batches, seconds=seconds):  # noqa: B007
        pass
    return {"steps": step, **recipe.metrics(model.eval(), splits)}


def ours_but(change: Callable, seconds: float, seed: int, **training: float) -> dict:
    """Our recipe after `change(model)`, which may return (another model, job or None, rate or None).

    `training` replaces numbers of the recipe's.
    Batches hold as many characters as the recipe's, whatever the context.
    """
    splits, rng = recipe.load_data(), runtime.seed(seed)
    model, job, rate = change(recipe.build(splits.characters))
    stream = pieces(splits, model.context, recipe.BATCH * recipe.CONTEXT // model.context, rng)
    job = (
        language_model(model, stream, accelerate(), "", **(recipe.TRAINING | training))
        if job is None
        else job(model, stream)
    )
    rate = rate or linear_decay
    return finish(model, job, seconds, splits, lambda _, used: rate(used))


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
        return plain(model, [torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)], stream)

    return model, job, None


def other_model(model: FastGPT, **changes):
    """Our recipe's network, built with other arguments."""
    v, pairs = model.token.num_embeddings, model.pair.num_embeddings
    ours = {"context": recipe.CONTEXT, "layers": recipe.LAYERS, "pairs": pairs}
    return FastGPT(v, **(ours | changes)), None, None


class WithGELU(gpt_fast.MLP):
    def forward(self, x):
        return self.out(F.gelu(self.hidden(x), approximate="tanh"))


def gelu(model: FastGPT):
    for block in model.blocks:
        block.mlp.__class__ = WithGELU
    return model, None, None


def random_outputs(model: FastGPT):
    """Output projections from N(0, 0.02^2 / 2L), as GPT-2 has them, not zero."""
    for block in model.blocks:
        for out in (block.attention.out, block.mlp.out):
            nn.init.normal_(out.weight, std=0.02 / math.sqrt(2 * len(model.blocks)))
    return model, None, None


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
    return model, None, None


ROWS = {
    "published": published,
    "Adam for Muon": partial(ours_but, adam_for_all),
    "context 64": partial(ours_but, partial(other_model, context=64)),
    "4 layers": partial(ours_but, partial(other_model, layers=4)),
    "no weight decay": partial(ours_but, lambda model: (model, None, None), decay=0.0, table_decay=0.0),
    "no pairs": partial(ours_but, partial(other_model, pairs=0)),
    "GELU for ReLU squared": partial(ours_but, gelu),
    "learned positions for rotary": partial(ours_but, learned_positions),
    "output projections not 0": partial(ours_but, random_outputs),
    "no cap on logits": partial(ours_but, partial(other_model, cap=1e6)),
    "cosine for linear decay": partial(ours_but, lambda model: (model, None, warmup_cosine)),
}
