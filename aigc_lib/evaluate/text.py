"""How well a language model, which is an argument, predicts a text it has not seen."""

import math

import torch
from torch import Tensor, nn

from aigc_lib.losses import next_token_loss


@torch.no_grad()
def text_loss(
    model: nn.Module, ids: Tensor, context: int, batch_size: int = 64
) -> dict[str, float]:
    """The loss on a text ids (N,), in pieces of `context` tokens, none counted twice.

    Returns the mean loss in nats per token, its perplexity and the bits per token, with
    n, the number of tokens that were predicted. A longer context gives a lower loss:
    each piece begins without a past. Raises ValueError for a text that is too short.
    """
    if ids.ndim != 1 or len(ids) <= context:
        raise ValueError(
            f"a text of {len(ids)} tokens: expected more than {context}, one context"
        )
    pieces = ids.unfold(0, context + 1, context)  # (n, context + 1), sharing one token
    device = next(model.parameters()).device
    total = 0.0
    for some in pieces.split(batch_size):
        some = some.to(device)
        logits = model(some[:, :-1])
        total += len(some) * next_token_loss(logits, some[:, 1:]).item()
    nats = total / len(pieces)
    return {
        "loss": nats,
        "perplexity": math.exp(nats),
        "bits": nats / math.log(2),
        "n": len(pieces) * context,
    }
