"""nanoGPT's published configuration for a CPU against our recipe, also with counts. gpt_ladder takes ours apart.

    python tools/bench/run.py gpt --seconds 90

Equal time, the same text and characters, the first nine tenths for training, the last tenth for the loss; all networks
compute in the machine's faster precision, and attend by the same function. In the rows with counts the 90 seconds hold
the counting and the fit of the shares, and the text for that fit is kept from the network.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from aigc_lib import data, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models.gpt import GPT
from aigc_lib.models.ngram import KneserNey, WithCounts
from aigc_lib.training.language import inputs_and_targets
from aigc_lib.training.run import Job, accelerate
from aigc_lib.training.schedule import linear_decay, scheduler
from aigc_lib.training.shares import fit_shares
from aigc_lib.training.splits import Splits

recipe = recipes.recipe("gpt")
IMAGES = False  # so there is no row of real images
ORDER, LONGEST_COPY = 7, 8  # characters of context that are counted, and of runs that are found again
KEPT_BACK, FITTING = 1 / 60, 2.0  # of the training text, and seconds, to fit the shares


def nanogpt(seconds: float, seed: int, splits: Splits) -> tuple[GPT, int]:
    """4 layers, 4 heads, 128 wide, context 64, batch 12, no dropout; AdamW from 1e-3 to 1e-4, beta2 0.99, clipped at 1.

    From the README of nanoGPT and its config/train_shakespeare_char.py; weight decay 0.1 on matrices, as there. Here
    the rate falls over the time, not over 2,000 steps.
    """
    rng = runtime.seed(seed)
    model = GPT(len(splits.characters), context=64, layers=4, heads=4, width=128)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def factor(step: int, used: float) -> float:
        cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * used))
        return min(1.0, (step + 1) / 100) * cosine

    batches = data.windows(*splits.training, 65, 12, rng)
    return train(plain(model, [adam], batches, clip=1.0), seconds, factor)


def ours(seconds: float, seed: int, splits: Splits) -> tuple[nn.Module, int]:
    """Our recipe as it is."""
    job = recipe.prepare(splits, accelerate(), runtime.seed(seed))
    return train(job, seconds, lambda _, used: linear_decay(used))


def plain(model: nn.Module, optimizers: list[Optimizer], batches, clip: float = math.inf, longest=None) -> Job:
    """Next-token prediction without Accelerate; `longest` as in `language_model`."""
    group = optimizers[-1].param_groups[-1]
    peak = group["lr"]

    def update(batch: tuple) -> dict:
        inputs, targets = inputs_and_targets(*batch, longest(group["lr"] / peak) if longest else None)
        with runtime.autocast():
            logits = model(inputs)
        loss = losses.next_token_loss(logits, targets)
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


def train(job: Job, seconds: float, factor: Callable[[int, float], float]) -> tuple[nn.Module, int]:
    """The model of a job after `seconds` of training, and its steps."""
    optimizers = [part for part in job.parts.values() if isinstance(part, Optimizer)]
    step_now = [0]
    set_rates = scheduler(optimizers, lambda used: factor(step_now[0], used), seconds=seconds)

    def update(batch: tuple) -> dict:
        set_rates(step_now[0])
        step_now[0] += 1
        return job.update(batch)

    for step, _ in fit(update, job.batches, seconds=seconds):  # noqa: B007
        pass
    return job.model.eval(), step


def published(seconds: float, seed: int) -> dict:
    """The baseline by itself. (Without a row of its own, "ours" is the recipe as it is.)"""
    splits = recipe.load_data()
    model, steps = nanogpt(seconds, seed, splits)
    return {"steps": steps, **recipe.metrics(model, splits)}


def with_counts(network: Callable, seconds: float, seed: int) -> dict:
    """A network, counts and copies; also the losses of the network alone, and of both without copies.

    The shares are fitted on the end of the training text, which the network has not read; then it is counted as well.
    """
    splits = recipe.load_data()
    (ids,) = splits.training
    end, vocabulary = int(len(ids) * (1 - KEPT_BACK)), len(splits.characters)
    model, steps = network(seconds - FITTING, seed, replace(splits, training=(ids[:end],)))

    def together(most: int) -> WithCounts:
        both = WithCounts(model, KneserNey(ids[:end], vocabulary, ORDER), most)
        fit_shares(both, ids[end:])
        both.counts = KneserNey(ids, vocabulary, ORDER)
        return both

    start = time.perf_counter()
    everything = together(LONGEST_COPY)
    used = time.perf_counter() - start
    if used > FITTING:
        raise RuntimeError(f"{used:.1f} s for counts and shares: expected at most {FITTING}")
    parts = {"network_alone": model, "without_copies": together(0)}
    losses_of = {name: recipe.metrics(part, splits)["val_loss"] for name, part in parts.items()}
    return {"steps": steps, "seconds_of_counting": used, **losses_of, **recipe.metrics(everything, splits)}


def counts(seconds: float, seed: int) -> dict:
    """Counts alone: they need no seed, and less than a second."""
    splits = recipe.load_data()
    start = time.perf_counter()
    model = KneserNey(*splits.training, len(splits.characters), ORDER)
    used = time.perf_counter() - start
    model.context = recipe.CONTEXT
    return {"seconds_of_counting": used, **recipe.metrics(model, splits)}


ROWS = {
    "published": published,
    "counts alone": counts,
    "baseline with counts and copies": partial(with_counts, nanogpt),
    "ours with counts and copies": partial(with_counts, ours),
}
