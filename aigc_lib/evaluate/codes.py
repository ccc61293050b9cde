"""How a model with discrete codes uses them, and what they cost under a prior."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_lib.losses import next_token_loss


def code_use(tokens: Tensor, size: int) -> dict[str, float]:
    """How many of `size` codes occur in tokens (any shape), and their perplexity.

    The perplexity is the exponential of the entropy of the codes' shares: `size` when
    all are equally frequent, and 1 when there is only one.
    """
    counts = torch.bincount(tokens.flatten(), minlength=size)
    if len(counts) > size:
        raise ValueError(f"token {len(counts) - 1}: expected 0 to {size - 1}")
    entropy = torch.special.entr(counts.double() / tokens.numel()).sum()
    return {"used": int((counts > 0).sum()), "perplexity": math.exp(entropy)}


@torch.no_grad()
def code_bits(prior: nn.Module, rows: Tensor, batch_size: int = 500) -> float:
    """The mean bits of an image's tokens under an autoregressive prior.

    rows (N, 1 + T): each row is the start token and the T tokens of an image. By the
    chain rule it is the sum over T places, so T times the loss per token.
    """
    device, nats = next(prior.parameters()).device, 0.0
    for some in rows.split(batch_size):
        some = some.to(device)
        loss = next_token_loss(prior(some[:, :-1]), some[:, 1:]).item()
        nats += loss * len(some) * (rows.shape[1] - 1)
    return nats / len(rows) / math.log(2)


@torch.no_grad()
def pair_nats(
    model: nn.Module, rows: Tensor, text: int, batch_size: int = 250
) -> Tensor:
    """What captions and pictures cost, in nats: (N, 2), -log p(text), -log p(image).

    rows (N, S): `text` tokens of a caption, then those of a picture, whose price is
    that after the caption. The first token is given. The sum is -log p of a row.
    """
    device, found = next(model.parameters()).device, []
    for some in rows.split(batch_size):
        some = some.to(device)
        logits = model(some[:, :-1]).float()  # (B, S - 1, V)
        nats = F.cross_entropy(logits.mT, some[:, 1:], reduction="none")  # (B, S - 1)
        parts = nats[:, : text - 1].sum(1), nats[:, text - 1 :].sum(1)
        found.append(torch.stack(parts, dim=1).cpu())
    return torch.cat(found)
