"""A GPT on Tang quatrains, one poem a row, of the commonest 2,500 characters."""

import torch

from aigc_lib import data
from aigc_lib.losses import next_token_loss
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.training.language import language_model
from aigc_lib.training.poems import quatrains as load_data
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

__all__ = ["LEANS_ON", "STEPS", "build", "load_data", "metrics", "prepare"]

STEPS, BATCH, CONTEXT = 1_000, 48, 33
LEANS_ON = ()


def build(characters: str) -> FastGPT:
    """The untrained network for poems of these characters."""
    model = FastGPT(len(characters), CONTEXT)
    model.characters = characters
    return model


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Whole poems."""
    characters = splits.characters
    batches = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    return language_model(build(characters), batches, accelerator, characters)


@torch.no_grad()
def metrics(model: FastGPT, splits: Splits) -> dict[str, float]:
    """Nats per character of held-out poems, with the line end after each poem."""
    (rows,) = splits.held_out
    batches = rows.split(64)
    losses = [next_token_loss(model(r[:, :-1]), r[:, 1:]).item() for r in batches]
    nats = sum(loss * len(r) * CONTEXT for loss, r in zip(losses, batches, strict=True))
    return {"val_loss": nats / ((rows[:, 1:] != 0).sum() + len(rows)).item()}
