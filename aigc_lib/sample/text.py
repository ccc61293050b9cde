"""Draw a text, one token after another; the model is an argument.

What changes the distribution before a draw is a pure function, logits (B, V) -> (B, V).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Warp = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def generate(
    model: nn.Module,
    tokens: Tensor,
    n: int,
    *,
    warp: Warp | None = None,
    generator: torch.Generator | None = None,
    cached: bool = True,
) -> Tensor:
    """Continue texts (B, T) by n tokens each: (B, T + n) int64.

    warp(logits (B, V), tokens so far (B, S)) gives the logits to draw from; without it
    they are the model's own. cached=False reads all tokens again for each new one: the
    same texts, only slower. Where the context is full, its first half is forgotten and
    the rest is read again. Raises ValueError for a prompt that is empty or longer than
    the context.
    """
    if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= model.context or n < 0:
        raise ValueError(
            f"a prompt of shape {tuple(tokens.shape)} and n={n}: expected (B, T) with "
            f"T from 1 to {model.context}, the model's context, and n at least 0"
        )
    b, t = tokens.shape
    text = tokens.new_empty(b, t + n)
    text[:, :t] = tokens
    start, cache = 0, None  # where what the model sees begins
    for end in range(t, t + n):
        if end - start > model.context:
            start, cache = end - max(1, model.context // 2), None
        if cache is not None:
            new = text[:, end - 1 : end]  # the rest stands in the cache
        else:
            new = text[:, start:end]
            cache = model.new_cache(b) if cached else None
        logits = model.next_logits(new, cache).float()  # (B, V)
        if warp is not None:
            logits = warp(logits, text[:, :end])
        text[:, end] = draw(logits, generator)
    return text


def draw(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One token (B,) for each row of logits (B, V), by its probability.

    The random numbers come from the CPU, so that a seed gives the same ones everywhere.
    """
    p = logits.softmax(dim=-1).cpu()
    return torch.multinomial(p, 1, generator=generator)[:, 0].to(logits.device)


def greedy(logits: Tensor) -> Tensor:
    """Only the most probable token stays possible: drawing is no longer random."""
    best = logits.argmax(dim=-1, keepdim=True)
    return torch.full_like(logits, -math.inf).scatter(-1, best, 0.0)


def temperature(logits: Tensor, value: float) -> Tensor:
    """Below 1 the probable tokens gain, above 1 the improbable ones."""
    if not value > 0:
        raise ValueError(f"temperature {value}: expected more than 0; use greedy for 0")
    return logits / value


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k most probable tokens stay possible, and those that tie with the last."""
    if not 1 <= k <= logits.shape[-1]:
        raise ValueError(f"k={k}: expected 1 to {logits.shape[-1]}, the vocabulary")
    lowest = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < lowest, -math.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest most probable tokens whose probabilities reach p stay possible.

    Nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751.
    """
    _expect_share("p", p)
    ranked, order = logits.sort(dim=-1, descending=True)
    probability = ranked.softmax(dim=-1)
    before = probability.cumsum(dim=-1) - probability  # of all that rank higher
    drop = (before >= p).scatter(-1, order, before >= p)
    return logits.masked_fill(drop, -math.inf)


def min_p(logits: Tensor, share: float) -> Tensor:
    """Tokens with at least `share` of the highest probability stay possible.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    _expect_share("share", share)
    lowest = logits.max(dim=-1, keepdim=True).values + math.log(share)
    return logits.masked_fill(logits < lowest, -math.inf)


def repetition_penalty(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Tokens that stand in the text (B, S) get positive logits / penalty, others *.

    Keskar et al. 2019, CTRL, arXiv:1909.05858, section 4.1; penalty 1 changes nothing.
    """
    if not penalty > 0:
        raise ValueError(f"penalty {penalty}: expected more than 0; 1 changes nothing")
    seen = logits.gather(-1, tokens)
    seen = torch.where(seen > 0, seen / penalty, seen * penalty)
    return logits.scatter(-1, tokens, seen)


def _expect_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name}={value}: expected more than 0, at most 1")
