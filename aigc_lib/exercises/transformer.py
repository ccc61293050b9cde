"""Checks for the exercises of the Transformer chapter."""

import torch
from torch.nn import functional as F

from aigc_lib.exercises.transformer_beam import beam
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)
from aigc_lib.models.transformer import DecoderLayer

__all__ = ["rms_norm", "rates", "smoothed", "count", "unpatch", "beam"]


@exercise
def rms_norm(answer):
    """answer(x, g, eps): (..., C), (C,), float -> (..., C)."""
    for shape, size, eps in [((2, 3, 5), 1, 1e-6), ((4,), 9, 0.1), ((3, 3), 0.1, 0.1)]:
        x, g = 1 + size * torch.randn(shape), torch.randn(shape[-1])
        got = call(answer, x, g, eps)
        expect_shape(got, shape, "one vector for each vector")
        square = x.square()
        mean = square.mean(-1, keepdim=True)
        total = square.sum(-1, keepdim=True)
        true = x / (mean + eps).sqrt() * g
        slips = [
            (F.layer_norm(x, x.shape[-1:], g, eps=eps), "RMS norm keeps the mean."),
            (x / (total + eps).sqrt() * g, "You sum the squares: expected the mean."),
            (x / (mean + eps) * g, "The root is missing."),
            (x / (mean + eps).sqrt(), "The factors g are missing."),
            (
                x / (mean.sqrt() + eps) * g,
                "eps is added to the mean square, before the root.",
            ),
            (x / mean.sqrt() * g, "eps is missing."),
            (
                x / (square.mean() + eps).sqrt() * g,
                "You average over all vectors: each is divided by its own root.",
            ),
        ]
        compare(got, true, slips, "With C = 1 the result is nearly ± g.")
    zeros = call(answer, torch.zeros(2, 4), torch.ones(4), 1e-6)
    expect_finite(zeros, "A vector of zeros was given: eps avoids dividing by 0.")
    return "No mean, no bias, and the scale of a vector no longer matters."


@exercise
def rates(answer):
    """answer(steps, C, w): three whole numbers -> (steps,)."""
    for steps, C, w in [(9, 16, 4), (1, 8, 3), (12, 64, 1), (6, 30, 10)]:
        got = call(answer, steps, C, w)
        expect_shape(got, (steps,), "one rate for each step")
        s = torch.arange(1, steps + 1).double()

        def rate(s, up, down, width):
            return width**-0.5 * torch.minimum(s**down, s * up)

        true = rate(s, w**-1.5, -0.5, C)
        slips = [
            (rate(s - 1, w**-1.5, -0.5, C), "The first step is 1, not 0."),
            (
                C**-0.5 * torch.maximum(s**-0.5, s * w**-1.5),
                "You take the larger of the two: expected the smaller.",
            ),
            (rate(s, w**-1.5, -0.5, 1), "The factor of the width is missing."),
            (rate(s, w**-1.5, -0.5, C**-1), "The width has the exponent -1/2."),
            (rate(s, w**-0.5, -0.5, C), "The warm-up has the exponent -3/2."),
            (C**-0.5 * s**-0.5, "There is no warm-up: the first rates are too high."),
            (C**-0.5 * s * w**-1.5, "After the warm-up the rate must fall."),
        ]
        compare(got, true, slips, "At step w both formulas must give the same.")
    return "Up in a straight line to step w, then down with the root of the step."


@exercise
def smoothed(answer):
    """answer(logits, target, epsilon): (N, V), (N,), float -> ()."""
    for N, V, epsilon, size in [(6, 5, 0.1, 1), (4, 3, 0.3, 1), (5, 4, 0.1, 300)]:
        logits = size * torch.randn(N, V)
        target = torch.randint(1, V, (N,))
        target[1] = 0
        got = call(answer, logits, target, epsilon)
        expect_shape(got, (), "one number")
        expect_finite(got, "Large logits overflow: use log_softmax.")
        logp, real = logits.log_softmax(-1), target != 0
        right = logp.gather(1, target[:, None])[:, 0]
        others = (logp.sum(-1) - right) / (V - 1)

        def loss(right, rest, real=real, epsilon=epsilon):
            return -((1 - epsilon) * right + epsilon * rest)[real].mean()

        true = loss(right, logp.mean(-1))
        every = -((1 - epsilon) * right + epsilon * logp.mean(-1))
        slips = [
            (every.mean(), "You average over the padding too."),
            (every[real].sum(), "You add up: expected the mean."),
            ((every * real).mean(), "You divide by N, padding included."),
            (loss(right, right), "Nothing is smoothed: that is plain cross-entropy."),
            (loss(right, logp.sum(-1)), "Each other token gets epsilon / V."),
            (
                loss(right, others),
                "You spread epsilon over the V - 1 wrong tokens: here it is spread "
                "over all V, the right one included.",
            ),
            (loss(logp.mean(-1), right), "1 - epsilon and epsilon are exchanged."),
            (-true, "The sign is the other way round."),
        ]
        compare(got, true, slips, "With epsilon = 0 it must be plain cross-entropy.")
    return "The same as F.cross_entropy with label_smoothing and ignore_index=0."


@exercise
def count(answer):
    """answer(C, hidden): two whole numbers -> int."""
    for C, hidden in [(8, 12), (32, 128), (6, 6)]:
        layer = DecoderLayer(C, 2, hidden)
        true = sum(p.numel() for p in layer.parameters())
        got = call(answer, C, hidden, returns=int)
        attention, net = 4 * (C * C + C), 2 * C * hidden + hidden + C
        norm = 2 * C
        biases = 8 * C + hidden + C
        slips = {
            attention + net + 3 * norm: "A decoder layer has two attentions.",
            2 * attention + net: "The norms have parameters: g and b each.",
            2 * attention + net + 2 * norm: "There are three norms.",
            2 * attention + net + 3 * C: "Each norm has two vectors, g and b.",
            true - biases: "The biases are missing.",
            true - 8 * C: "The biases of the attentions are missing.",
            true - hidden - C: "The biases of the feed-forward net are missing.",
            2 * 3 * (C * C + C) + net + 3 * norm: "After the heads, there is W^O.",
            true + C * hidden + hidden: "ReLU has no gate: two matrices, not three.",
        }
        if got != true:
            hint = slips.get(got, "Count part by part: two attentions, net, norms.")
            raise Wrong(f"{got:,} parameters: {hint}")
    return "Heads only cut the same matrices into parts."


@exercise
def unpatch(answer):
    """answer(patches, P, H, W): (B, N, C * P * P), ints -> (B, C, H, W)."""
    for B, C, P, rows, cols in [(2, 1, 2, 2, 3), (1, 3, 2, 3, 2), (3, 2, 3, 1, 4)]:
        true = torch.randn(B, C, rows * P, cols * P)
        patches = F.unfold(true, P, stride=P).mT  # (B, N, C * P * P)
        got = call(answer, patches, P, rows * P, cols * P)
        expect_shape(got, (B, C, rows * P, cols * P), "the images")
        tiles = patches.reshape(B, rows, cols, C, P, P)
        last = patches.reshape(B, rows, cols, P, P, C)
        down = patches.reshape(B, cols, rows, C, P, P)
        slips = [
            (
                patches.reshape(true.shape),
                "One reshape mixes the patches: the rows of an image run through "
                "several of them. Exchange dimensions first.",
            ),
            (
                tiles.permute(0, 3, 1, 5, 2, 4).reshape(true.shape),
                "Each patch is mirrored: its rows and columns are exchanged.",
            ),
            (
                last.permute(0, 5, 1, 3, 2, 4).reshape(true.shape),
                "The channel comes first in a patch, not last.",
            ),
            (
                down.permute(0, 3, 2, 4, 1, 5).reshape(true.shape),
                "The patches run along the rows, not down the columns.",
            ),
        ]
        if C == 1 and same(got, slips[2][0]):
            continue  # cannot be told apart with one channel
        compare(got, true, slips, "Try one image of two patches side by side.")
    return "A cut and its repair are the same exchange of dimensions."
