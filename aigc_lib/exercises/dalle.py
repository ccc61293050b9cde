"""Checks for the exercises of the chapter on DALL-E: rows, losses, guidance."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises.dalle_drawing import any_right, unmask, which_caption
from aigc_lib.exercises.dalle_masks import neighbour_mask
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_shape,
    same,
)

__all__ = [
    "one_row",
    "weighted",
    "which_caption",
    "guided",
    "neighbour_mask",
    "any_right",
    "unmask",
]


@exercise
def one_row(answer):
    """answer(captions, pictures, words): (B, T), (B, h, w) int64, int -> (B, T + h w)
    int64."""
    for b, t, h, w, words, codes in ((3, 4, 2, 3, 9, 6), (1, 3, 4, 2, 30, 8)):
        captions = torch.randint(words, (b, t))
        pictures = torch.randint(codes, (b, h, w))
        pictures[0, 0, 0], pictures[0, 1, 0], pictures[0, 0, 1] = 0, 1, 2
        got = call(answer, captions, pictures, words)
        if tuple(got.shape) != (b, t + h * w):
            raise Wrong(
                f"Your result has shape {tuple(got.shape)}: expected "
                f"{(b, t + h * w)}, {t} tokens of a caption and {h * w} of a picture."
            )
        if got.dtype != torch.int64:
            raise Wrong(f"Your tokens are {got.dtype}: expected torch.int64.")
        flat = pictures.flatten(1)
        true = torch.cat((captions, flat + words), 1)
        by_column = pictures.transpose(1, 2).flatten(1)
        slips = [
            (
                torch.cat((captions, flat), 1),
                "A word and a code have the same number: let the codes start where "
                "the words end.",
            ),
            (
                torch.cat((flat + words, captions), 1),
                "The picture stands first: then it cannot depend on the caption.",
            ),
            (
                torch.cat((captions, by_column + words), 1),
                "You read the picture by columns: expected line by line.",
            ),
            (
                torch.cat((captions, flat + words + 1), 1),
                f"Your codes start at {words + 1}: the words are 0 to {words - 1}, so "
                f"{words} is free.",
            ),
            (
                torch.cat((captions, flat + words - 1), 1),
                f"Your codes start at {words - 1}: that is the last word.",
            ),
            (true + words, "You move the words, too: only the codes are moved."),
        ]
        if not torch.equal(got, true):
            for value, hint in slips:
                if torch.equal(got, value):
                    raise Wrong(hint)
            raise Wrong("The tokens are off: the caption as it is, then the codes.")
    return "One row, one vocabulary, and every number means one thing."


@exercise
def weighted(answer):
    """answer(logits, targets, text, weight): (B, S, V), (B, S), int, float -> (); the
    targets 0 of the caption are padding."""
    for b, s, v, text, weight in ((3, 9, 5, 4, 1 / 8), (2, 11, 9, 5, 0.3)):
        logits, targets = 2 * torch.randn(b, s, v), torch.randint(1, v, (b, s))
        targets[0, text - 2 : text], targets[1, 1:text] = 0, 0
        got = call(answer, logits, targets, text, weight)
        expect_shape(got, (), "one number for the batch")
        each = F.cross_entropy(logits.mT, targets, reduction="none")  # (B, S)
        real = (targets != 0).float()
        real[:, text:] = 1.0
        words, codes = (each * real)[:, :text], each[:, text:]  # 0 at the padding
        count = real[:, :text].sum()

        def mix(of_words, of_codes, weight=weight):
            return weight * of_words + (1 - weight) * of_codes

        true = mix(words.sum() / count, codes.mean())
        by_row = words.sum(1) / real[:, :text].sum(1)
        swapped = mix(words.sum() / count, codes.mean(), 1 - weight)
        padding = (each * (1 - real))[:, :text].sum() / (b * text - count)
        early = (each * real)[:, : text + 1].sum() / (count + b)
        slips = [
            (
                mix(each[:, :text].mean(), codes.mean()),
                "The padding counts in your mean: what comes after the end token is "
                "no part of the caption.",
            ),
            (
                mix(words.mean(), codes.mean()),
                "The padding costs nothing in your sum, but you still divide by all "
                "places of the caption.",
            ),
            (
                mix(by_row.mean(), codes.mean()),
                "You take a mean for each row first: then the tokens of a short "
                "caption count more than those of a long one.",
            ),
            (
                swapped,
                "The weights are the wrong way round: `weight` is that of the text.",
            ),
            (
                (each * real).sum() / real.sum(),
                "All tokens count alike in your mean: take one mean for each kind.",
            ),
            (
                weight * words.sum() / count + codes.mean(),
                "The picture has weight 1: the two weights should sum to 1.",
            ),
            (
                mix(words.sum(1).mean(), codes.sum(1).mean()),
                "You add up over the tokens: take the mean over each kind.",
            ),
            (
                mix(early, each[:, text + 1 :].mean()),
                "One token of the picture is counted with the text.",
            ),
            (mix(padding, codes.mean()), "You keep the padding and skip the words."),
            (true / math.log(2), "That is in bits: expected nats."),
            (-true, "The sign is wrong: a loss is minus a log-probability."),
        ]
        hint = "One mean over the words of all captions, one over all codes."
        compare(got, true, slips, hint)
    return "However much padding there is, the words count as before."


@exercise
def guided(answer):
    """answer(towards, away, w): (B, V) twice, float -> steered logits (B, V)."""
    for b, v, w in ((3, 6, 2.5), (2, 4, 1.0), (1, 5, 0.0), (4, 7, 4.0)):
        towards, away = 2 * torch.randn(b, v), 2 * torch.randn(b, v)
        for logits in (towards, away):
            logits[:, 0] = -math.inf  # the same token is forbidden in both
        got = call(answer, towards, away, w)
        expect_shape(got, (b, v), "a logit for each token")
        if got.isnan().any():
            raise Wrong(
                "Your result holds nan: a forbidden token has the logit -inf in both, "
                "and -inf - -inf is no number. It should stay at -inf."
            )
        if (got[:, 0] != -math.inf).any():
            raise Wrong("The token that both forbid, the one with -inf, is possible.")
        a, t = away[:, 1:], towards[:, 1:]
        true = a + w * (t - a)
        p, q = t.softmax(1), a.softmax(1)
        slips = [
            (
                t + w * (t - a),
                "That is the other convention: here w = 1 is `towards` alone.",
            ),
            (t + w * (a - t), "You go from `towards` to `away`: it is the other way."),
            (w * (t - a), "You keep the difference alone: add it to `away`."),
            (w * t, "`away` does not occur: that is a temperature of 1/w."),
            (
                (q + w * (p - q)).clamp(min=1e-9).log(),
                "You mix probabilities: take the line through the logits.",
            ),
            (true.softmax(1), "These are probabilities: expected logits."),
        ]
        # A number added to all logits of a row changes no probability.
        values = [value.log_softmax(1) for value, _ in slips[:-1]]
        if not same(got[:, 1:].double().log_softmax(1), true.double().log_softmax(1)):
            for value, (_, hint) in zip(values, slips, strict=False):
                if same(got[:, 1:].double().log_softmax(1), value):
                    raise Wrong(hint)
            compare(got[:, 1:], true, slips[-1:], "w = 0 gives `away`, 1 `towards`.")
    return "In probabilities: p(token | caption)^w p(token)^(1 - w), made to sum to 1."
