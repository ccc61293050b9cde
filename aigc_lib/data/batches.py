"""Endless shuffled batches from tensors in memory."""

from collections.abc import Iterator

import torch
from torch import Tensor


def batches(
    *tensors: Tensor,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[Tensor, ...]]:
    """Yield tuples of rows drawn together from `tensors`, forever.

    The rows are reshuffled each epoch. tensors: one or more, each (N, ...) on the CPU.
    Each batch is a tuple with (batch_size, ...) from every one of them, on `device`;
    all batches have the same size, so the rest of an epoch (fewer than `batch_size`
    rows) is left out of that epoch. Raises ValueError for tensors of different length
    or a batch size outside 1..N.
    """
    lengths = [len(t) for t in tensors]
    if not tensors or len(set(lengths)) != 1:
        raise ValueError(
            f"tensors of lengths {lengths}: expected one or more of equal length"
        )
    if not 1 <= batch_size <= lengths[0]:
        raise ValueError(
            f"batch_size {batch_size}: expected 1 to {lengths[0]}, the number of rows"
        )
    return _endless(tensors, batch_size, generator, device)


def _endless(tensors, batch_size, generator, device):
    n = len(tensors[0])
    while True:
        order = torch.randperm(n, generator=generator)
        for rows in order[: n - n % batch_size].split(batch_size):
            yield tuple(t[rows].to(device, non_blocking=True) for t in tensors)
