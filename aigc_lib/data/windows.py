"""Endless batches of pieces of one long text."""

from collections.abc import Iterator

import torch
from torch import Tensor


def windows(
    ids: Tensor,
    length: int,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor]]:
    """Yield batches (batch_size, length) of pieces of ids (N,), from random places.

    Raises ValueError for a text that is shorter than a piece.
    """
    if ids.ndim != 1 or len(ids) < length:
        raise ValueError(
            f"a text of {tuple(ids.shape)} tokens: expected at least {length}, "
            "one context and the token after it"
        )
    return _endless(ids.unfold(0, length, 1), batch_size, generator)


def _endless(pieces, batch_size, generator):
    while True:
        at = torch.randint(len(pieces), (batch_size,), generator=generator)
        yield (pieces[at],)
