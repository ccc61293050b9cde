"""Checks for the exercises of the attention chapter."""

import math

import torch

from aigc_lib.exercises.attention_parts import backward, merge, turn
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)
from aigc_lib.nn.attention import causal_mask

__all__ = ["core", "heads", "pool", "cache_mask", "turn", "backward", "merge"]


def _core(q, k, v, mask, scale):
    scores = (scale * q @ k.T).masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ v


@exercise
def core(answer):
    """answer(q, k, v): three (T, hs) -> (T, hs), causal scaled attention."""
    for T, hs, size in [(5, 3, 1.0), (1, 4, 1.0), (7, 9, 1.0), (6, 4, 600.0)]:
        q, k, v = torch.randn(3, T, hs)
        q, k = size**0.5 * q, size**0.5 * k
        got = call(answer, q, k, v)
        expect_shape(got, (T, hs), "one answer for each query")
        expect_finite(got, "Large scores overflow: use softmax, not exp alone.")
        causal, everything = causal_mask(T), torch.ones(T, T, dtype=torch.bool)
        scale = 1 / math.sqrt(hs)
        scores = scale * q @ k.T
        slips = [
            (_core(q, k, v, causal, 1.0), "The scores are not divided by √hs."),
            (_core(q, k, v, causal, 1 / hs), "You divide by hs: expected its root."),
            (
                _core(q, k, v, causal, 1 / math.sqrt(T)),
                "You divide by the root of T, the number of keys: expected hs.",
            ),
            (_core(q, k, v, everything, scale), "Each query still sees the future."),
            (_core(q, k, v, causal.T, scale), "The mask hides the past instead."),
            (
                (scores.softmax(-1) * causal) @ v,
                "You mask after the softmax: the remaining weights sum to less than 1.",
            ),
            (
                (scores * causal).softmax(-1) @ v,
                "You set hidden scores to 0: after the softmax that is no weight of 0.",
            ),
            (
                scores.masked_fill(~causal, -math.inf).T.softmax(-1).nan_to_num() @ v,
                "The table of scores is transposed: rows are queries.",
            ),
        ]
        true = _core(q, k, v, causal, scale)
        own = _core(q, k, v, causal.tril(-1), scale)
        if T > 1 and same(got[1:], own[1:]) and not same(got, true):
            raise Wrong("Each query must also see its own place.")
        otherwise = "With T = 1 the answer is v. Then try T = 2 by hand."
        compare(got, true, slips, otherwise)
    return "Row t is a weighted mean of the values up to t."


@exercise
def heads(answer):
    """answer(x, nh): (B, T, C), int -> (B, nh, T, C / nh)."""
    for B, T, nh, hs in [(2, 5, 3, 4), (1, 1, 2, 3), (3, 4, 1, 6), (2, 3, 3, 3)]:
        x = torch.randn(B, T, nh * hs)
        got = call(answer, x, nh)
        if tuple(got.shape) == (B, T, nh, hs) and T != nh:
            raise Wrong("The heads stand after the places: exchange two dimensions.")
        expect_shape(got, (B, nh, T, hs), "heads before places")
        true = x.view(B, T, nh, hs).transpose(1, 2)
        slips = [
            (
                x.reshape(B, nh, T, hs),
                "One reshape to the final shape mixes the tokens: "
                "cut the last dimension first, then exchange two dimensions.",
            ),
            (
                x.view(B, T, hs, nh).permute(0, 3, 1, 2),
                "Your heads take every nh-th entry: each gets neighbours.",
            ),
            (x.view(B, T, nh, hs), "The heads stand after the places."),
        ]
        compare(got, true, slips, "Try B = 1, T = 1: head i gets the i-th slice.")
    return "A view, then a transpose: no number was moved within a head."


@exercise
def pool(answer):
    """answer(x, lengths): (B, T, C), (B,) -> (B, C), the mean of the real tokens."""
    for B, T, C in [(4, 6, 3), (1, 4, 2), (3, 5, 5)]:
        x, lengths = torch.randn(B, T, C), torch.randint(1, T, (B,))
        real = (torch.arange(T) < lengths[:, None])[:, :, None]
        true = (x * real).sum(1) / lengths[:, None]
        got = call(answer, x, lengths)
        expect_shape(got, (B, C), "one vector for each sequence")
        one_more = torch.arange(T) < lengths[:, None] + 1
        slips = [
            (x.mean(1), "You average over the padding too."),
            ((x * real).mean(1), "You divide by T: expected the number of tokens."),
            ((x * real).sum(1), "You add up: expected the mean."),
            (
                (x * one_more[:, :, None]).sum(1) / (lengths + 1)[:, None],
                "You count one token too many: the places are 0 … lengths - 1.",
            ),
        ]
        compare(got, true, slips, "With length 1 it must be the first token.")
        broken = x.masked_fill(~real, math.nan)
        got = call(answer, broken, lengths)
        expect_finite(got, "The padding was nan here: 0 * nan is nan, so replace it.")
        compare(got, true, [], "The padding must not matter.")
        lengths[0] = 0
        got = call(answer, x, lengths)
        expect_finite(got, "One length was 0: what do you divide by?")
        true[0] = 0.0
        compare(got, true, [], "One length was 0: expected zeros.")
    return "Padding is replaced, not multiplied by zero."


@exercise
def cache_mask(answer):
    """answer(T, S): (T, S) zeros and ones, one where new token t may look."""
    for T, S in [(3, 7), (1, 5), (4, 4), (2, 3), (1, 1)]:
        got = call(answer, T, S)
        if got.dtype == torch.bool:
            got = got.float()  # as good
        expect_shape(got, (T, S), "one row for each new token")
        true = torch.ones(T, S).tril(S - T)
        slips = [
            (
                torch.ones(T, S).tril(),
                "The new tokens stand at the end, not at the start, of the keys.",
            ),
            (1 - true, "Zeros and ones are exchanged."),
            (torch.ones(T, S), "A new token sees other new tokens that come later."),
            (torch.ones(T, S).tril(S - T - 1), "A token must also see its own key."),
            (torch.ones(T, S).tril(S - T + 1), "You look one token into the future."),
            (torch.ones(T, S).triu(S - T), "The mask hides the past instead."),
        ]
        compare(got, true, slips, "The last row is all ones: the last token sees all.")
    return "With T = 1 no mask is needed: the newest token may see everything."
