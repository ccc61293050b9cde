"""The shares of a network, counts and copies, found on a text that none has seen."""

import torch
from torch import Tensor

from aigc_lib.losses import next_token_loss
from aigc_lib.models.ngram import WithCounts


def fit_shares(model: WithCounts, ids: Tensor, steps: int = 30) -> float:
    """Set the shares of `model` to those of the lowest loss on ids (N,): the loss.

    There are a few dozen of them, so some steps of L-BFGS do. Raises ValueError for a
    text shorter than the context.
    """
    if ids.ndim != 1 or len(ids) <= model.context:
        raise ValueError(
            f"a text of {len(ids)} tokens: expected more than {model.context}"
        )
    rows = ids.unfold(0, model.context + 1, model.context)  # (n, context + 1)
    with torch.no_grad():
        experts = model.eval().experts(rows[:, :-1])
    lbfgs = torch.optim.LBFGS(
        [model.shares, model.copied], max_iter=steps, line_search_fn="strong_wolfe"
    )

    def loss():
        lbfgs.zero_grad()
        found = next_token_loss(model.mix(*experts), rows[:, 1:])
        found.backward()
        return found

    lbfgs.step(loss)
    with torch.no_grad():
        return next_token_loss(model.mix(*experts), rows[:, 1:]).item()
