"""The loss of a language model, and of one that writes a caption and a picture."""

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


def text_image_loss(
    logits: Tensor, targets: Tensor, text: int, weight: float = 1 / 8
) -> dict[str, Tensor]:
    """The next-token loss of rows that hold a caption and then a picture.

    logits (B, S, V), targets (B, S) int64, of which the first `text` are the caption's.
    Returns scalars: "text" and "image", each in nats per token of its kind, and "loss",
    weight * text + (1 - weight) * image. DALL-E's weight is 1/8 (Ramesh et al. 2021,
    arXiv:2102.12092, section 2.2). Raises ValueError unless both kinds occur.
    """
    if not 0 < text < targets.shape[1]:
        raise ValueError(f"text={text}: expected 1 to {targets.shape[1] - 1} tokens")
    if not 0 <= weight <= 1:
        raise ValueError(f"weight={weight}: expected 0 to 1")
    parts = {
        "text": next_token_loss(logits[:, :text], targets[:, :text]),
        "image": next_token_loss(logits[:, text:], targets[:, text:]),
    }
    return {"loss": weight * parts["text"] + (1 - weight) * parts["image"]} | parts
