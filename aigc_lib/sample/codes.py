"""Images as rows of tokens, and rows drawn from a prior, which is an argument."""

import math

import torch
from torch import Tensor, nn

from aigc_lib.sample.text import generate


def code_rows(tokens: Tensor, start: int) -> Tensor:
    """Tokens (B, h, w) read line by line, behind the start token: (B, 1 + h w)."""
    rows = tokens.flatten(1)
    return torch.cat((torch.full_like(rows[:, :1], start), rows), dim=1)


def draw_codes(
    prior: nn.Module,
    given: Tensor,
    shape: tuple[int, int],
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Complete rows `given` (B, 1 + t) to images: tokens (B, h, w) int64.

    Each row begins with the start token, which is never drawn again; the t tokens after
    it, perhaps none, stay as they are.
    """
    h, w = shape
    start = int(given[0, 0])

    def warp(logits: Tensor, _: Tensor) -> Tensor:
        logits = logits / temperature
        logits[:, start] = -math.inf
        return logits

    rows, left = given, h * w + 1 - given.shape[1]
    if left:  # a complete row is longer than what the prior reads
        rows = generate(prior, given, left, warp=warp, generator=generator)
    return rows[:, 1:].unflatten(1, shape)
