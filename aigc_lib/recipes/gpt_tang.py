"""A GPT on Tang quatrains, one poem a row, of the commonest 2,500 characters."""

from collections import Counter

import torch

from aigc_lib import data
from aigc_lib.data.tokenizers import CharTokenizer
from aigc_lib.losses import next_token_loss
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.training.language import language_model
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, CONTEXT, V = 1_000, 48, 33, 2_500
LEANS_ON = ()


def build(characters: str) -> FastGPT:
    """The untrained network for poems of these characters."""
    model = FastGPT(len(characters), CONTEXT)
    model.characters = characters
    return model


def load_data(own=None) -> Splits:
    """Rows (N, 34): a line end, a poem on one line, line ends. A tenth is held out."""
    if own is not None:
        raise ValueError(f"file {own}: this recipe has its own poems; try gpt")
    poems = [str(poem).replace("\n", "") for poem in data.tang()]
    counts = Counter("".join(poems))
    tokenizer = CharTokenizer("\n" + "".join(c for c, _ in counts.most_common(V - 1)))
    known = [poem for poem in poems if tokenizer.ids.keys() >= set(poem)]
    lines = ["\n" + poem.ljust(CONTEXT, "\n") for poem in known]
    rows = torch.tensor([tokenizer.encode(line) for line in lines])
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    cut = len(rows) * 9 // 10
    parts = (rows[:cut],), (rows[cut:],)
    return Splits(*parts, data.checksum("tang"), tokenizer.characters)


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
