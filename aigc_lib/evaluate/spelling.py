"""Exact match in the task of spelling numbers; the model is an argument."""

import torch
from torch import Tensor, nn

from aigc_lib.data import numbers as task

LONGEST = 24  # tokens; the longest right answer has 11


def written(model: nn.Module, numbers: Tensor, kind: str, wanted: str) -> list[str]:
    """What the model writes for each number, its tokens joined by spaces."""
    device = next(model.parameters()).device
    source = task.sources(numbers.tolist(), kind, wanted).to(device)
    ids = model.greedy(source, task.START, task.END, LONGEST).cpu()
    return [" ".join(task.read(row)) for row in ids]


def exact_match(model: nn.Module, numbers: Tensor, kind: str, wanted: str) -> float:
    """The share of numbers that the model spells without any error."""
    answers = written(model, numbers, kind, wanted)
    right = [" ".join(task.spell(n, wanted)) for n in numbers.tolist()]
    hits = [a == b for a, b in zip(answers, right, strict=True)]
    return torch.tensor(hits).float().mean().item()
