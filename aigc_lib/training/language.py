"""The training of a language model on whole batches of tokens, as a `Job`."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from aigc_lib.data.tokenizers import CharTokenizer
from aigc_lib.losses import next_token_loss
from aigc_lib.sample.text import generate, min_p
from aigc_lib.training.muon import Muon
from aigc_lib.training.run import Job
from aigc_lib.training.schedule import linear_decay
from aigc_lib.training.splits import Splits


def split_text(text: str, sha256: str) -> Splits:
    """The characters of a text: nine tenths to train on, and the last tenth."""
    tokenizer = CharTokenizer.of(text)
    ids = torch.tensor(tokenizer.encode(text))  # (N,)
    cut = len(ids) * 9 // 10
    return Splits((ids[:cut],), (ids[cut:],), sha256, tokenizer.characters)


def pieces(
    splits: Splits, context: int, batch_size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor]]:
    """Batches (batch_size, context + 1) of pieces of the text, forever.

    Each pass cuts the text anew, from a random place of its first context on, and draws
    no piece twice: random places would leave more than a third out of a pass. Raises
    ValueError for a text that is shorter than a batch.
    """
    (ids,) = splits.training
    fewest = (len(ids) - context) // context  # pieces that the last start leaves
    if fewest < batch_size:
        raise ValueError(
            f"a text of {len(ids)} tokens to train on: expected at least "
            f"{(batch_size + 1) * context}, a batch of {batch_size} contexts and one"
        )
    return _passes(ids, context, batch_size, rng)


def _passes(ids, context, batch_size, rng):
    while True:
        first = int(torch.randint(context, (1,), generator=rng))
        rows = ids[first:].unfold(0, context + 1, context)  # neighbours share one token
        order = torch.randperm(len(rows), generator=rng)
        for some in order[: len(rows) - len(rows) % batch_size].split(batch_size):
            yield (rows[some],)


def inputs_and_targets(rows: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """What is read of rows (B, T + 1), and what follows: (B, T) each.

    With `most` both are cut into parts of so many tokens, (B T / most, most).
    """
    inputs, targets = rows[:, :-1], rows[:, 1:]
    length = min(most or inputs.shape[1], inputs.shape[1])
    return inputs.reshape(-1, length), targets.reshape(-1, length)


def plain_loss(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The loss of all tokens alike, by name."""
    return {"loss": next_token_loss(logits, targets)}


def language_optimizers(
    model: nn.Module,
    muon_lr: float = 0.02,
    decay: float = 0.0,
    table_decay: float = 0.0,
) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices of the blocks, AdamW for the rest.

    Embeddings have a higher rate than the others: of these, a step sees few rows.
    """
    embeddings = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    known = {id(p) for p in [*embeddings, *matrices]}
    rest = [p for p in model.parameters() if id(p) not in known]
    groups = [
        {"params": embeddings, "lr": 0.01, "weight_decay": table_decay},
        {"params": rest, "lr": 0.003, "weight_decay": 0.0},
    ]
    muon = Muon(matrices, lr=muon_lr, weight_decay=decay)
    return muon, torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)


def language_model(
    model: nn.Module,
    batches: Iterable,
    accelerator,
    characters: str,
    muon_lr: float = 0.02,
    decay: float = 0.0,
    table_decay: float = 0.0,
    loss_of: Callable[[Tensor, Tensor], dict[str, Tensor]] = plain_loss,
    longest: Callable[[float], int] | None = None,
) -> Job:
    """Next-token prediction on batches (B, T + 1) of a model with blocks and a head.

    The optimizers are those of `language_optimizers`. Weight decay is for both: `decay`
    for the matrices, `table_decay` for the embeddings. loss_of(logits, targets) names
    its parts, of which "loss" is minimised. longest(rate) is the most tokens that the
    model reads at once while the learning rate is that share of its peak: rows are cut
    into parts of this length, which has to divide T or to be larger.
    """
    muon, adam = language_optimizers(model, muon_lr, decay, table_decay)
    network, muon, adam = accelerator.prepare(model, muon, adam)

    def update(batch):
        (rows,) = batch
        most = longest(muon.param_groups[0]["lr"] / muon_lr) if longest else None
        inputs, targets = inputs_and_targets(rows, most)
        losses = loss_of(network(inputs), targets)
        muon.zero_grad()
        adam.zero_grad()
        accelerator.backward(losses["loss"])
        muon.step()
        adam.step()
        return losses

    parts = {"model": model, "muon": muon, "adam": adam}
    return Job(model, parts, batches, update, linear_decay, {"characters": characters})


def calm(logits: Tensor, _: Tensor) -> Tensor:
    """A temperature of 0.8, and no character below 5 % of the most probable one."""
    return min_p(logits / 0.8, 0.05)


def two_samples(model: nn.Module) -> str:
    """Two texts of 300 characters that begin at a line's start, if there are lines."""
    tokenizer = CharTokenizer(model.characters)
    prompt = torch.full((2, 1), max(model.characters.find("\n"), 0))
    rng = torch.Generator().manual_seed(0)
    rows = generate(model, prompt, 300, warp=calm, generator=rng)
    return "\n\n".join(tokenizer.decode(row.tolist()) for row in rows) + "\n"
