"""nanoGPT's published configuration for a CPU against our recipe. The race gpt_ladder takes ours back part by part.

    python tools/bench/run.py gpt --seconds 90

Equal time, the same text and characters, the first nine tenths for training, the last tenth for the loss; both rows
compute in the machine's faster precision, and both attend by the same function.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from aigc_lib import data, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models.gpt import GPT
from aigc_lib.training.language import inputs_and_targets
from aigc_lib.training.run import Job
from aigc_lib.training.schedule import scheduler

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


ROWS = {"published": published}
