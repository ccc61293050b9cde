"""The loss of a language model."""

import torch.nn.functional as F
from torch import Tensor


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of the targets, in nats per token, a mean over all: a scalar.

    logits (B, T, V): what the model says after each of T tokens; targets (B, T) int64:
    the token that really came next. So the targets are the inputs, shifted by one:
    inputs = pieces[:, :-1], targets = pieces[:, 1:].
    """
    if logits.ndim != 3 or logits.shape[:-1] != targets.shape:
        raise ValueError(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}: "
            "expected (B, T, V) and (B, T)"
        )
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
