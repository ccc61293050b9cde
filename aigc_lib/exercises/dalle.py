"""Checks for the exercises of the chapter on DALL-E: rows, losses, guidance."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises.dalle_drawing import any_right, column_mask, unmask
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)

__all__ = [
    "one_row",
    "weighted",
    "two_prices",
    "guided",
    "column_mask",
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
    """answer(logits, targets, text, weight): (B, S, V), (B, S), int, float -> ()."""
    for b, s, v, text, weight in ((3, 7, 5, 2, 1 / 8), (2, 6, 9, 4, 0.3)):
        logits, targets = 2 * torch.randn(b, s, v), torch.randint(v, (b, s))
        got = call(answer, logits, targets, text, weight)
        expect_shape(got, (), "one number for the batch")
        each = F.cross_entropy(logits.mT, targets, reduction="none")  # (B, S)
        words, codes = each[:, :text], each[:, text:]
        true = weight * words.mean() + (1 - weight) * codes.mean()
        slips = [
            (
                (1 - weight) * words.mean() + weight * codes.mean(),
                "The weights are the wrong way round: `weight` is that of the text.",
            ),
            (
                each.mean(),
                "All tokens count alike in your mean: take one mean for each kind.",
            ),
            (
                weight * words.mean() + codes.mean(),
                "The picture has weight 1: the two weights should sum to 1.",
            ),
            (
                (weight * words.sum() + (1 - weight) * codes.sum()) / (b * s),
                "You divide both sums by all tokens: each is a mean over its own kind.",
            ),
            (
                weight * words.sum(1).mean() + (1 - weight) * codes.sum(1).mean(),
                "You add up over the tokens: take the mean over each kind.",
            ),
            (
                weight * each[:, : text + 1].mean()
                + (1 - weight) * each[:, text + 1 :].mean(),
                "One token of the picture is counted with the text.",
            ),
            (true / math.log(2), "That is in bits: expected nats."),
            (-true, "The sign is wrong: a loss is minus a log-probability."),
        ]
        hint = "The first `text` targets are one mean, the others another one."
        compare(got, true, slips, hint)
    return "A mean for each kind: how many tokens each has does not count."


@exercise
def two_prices(answer):
    """answer(logits, rows, text): (B, S, V), (B, S), int -> (B, 2), log p(caption) and
    log p(picture | caption)."""
    for b, s, v, text, scale in ((3, 8, 5, 3, 1), (1, 6, 4, 2, 1), (2, 7, 6, 4, 300)):
        logits, rows = scale * torch.randn(b, s, v), torch.randint(v, (b, s))
        got = call(answer, logits, rows, text)
        expect_shape(got, (b, 2), "two numbers for each row")
        expect_finite(got, "Large logits: take log_softmax, no logarithm of a softmax.")
        log_p = logits.log_softmax(-1)
        each = log_p[:, :-1].gather(2, rows[:, 1:, None])[..., 0]  # (B, S - 1)
        late = log_p.gather(2, rows[..., None])[..., 0]  # the output after x says x

        def cut(values, at):
            return torch.stack((values[:, :at].sum(1), values[:, at:].sum(1)), 1)

        true = cut(each, text - 1)
        sizes = torch.tensor([text - 1, s - text])
        slips = [
            (
                cut(late, text),
                "You let each output predict the token that it has just read: the "
                "output after token t is for token t + 1.",
            ),
            (
                cut(late[:, 1:], text - 1),
                "You let each output predict the token that it has just read: the "
                "output after token t is for token t + 1.",
            ),
            (
                cut(each, text),
                "The first token of the picture is counted with the caption: the first "
                "token of the row is given, so the caption has one term less.",
            ),
            (-true, "The sign is wrong: the logarithm of a probability is at most 0."),
            (
                true / sizes,
                "You average over the tokens: by the chain rule it is a sum.",
            ),
            (true / math.log(2), "That is in bits: expected the natural logarithm."),
            (true.flip(1), "The caption comes first, then the picture."),
            (
                torch.stack((true[:, 0], true.sum(1)), 1),
                "The second number holds the caption, too: it should be given.",
            ),
        ]
        compare(got, true, slips, "Which output speaks about which token?")
    return "Their sum is the log-probability of the whole row."


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
