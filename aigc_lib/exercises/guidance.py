"""Checks for the exercises of the guidance chapter."""

import torch

from aigc_lib.exercises.guidance_parts import classifier_noise, classify, hide_labels
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)

__all__ = [
    "other_convention",
    "hide_labels",
    "several_wishes",
    "threshold",
    "tilted",
    "classifier_noise",
    "classify",
]


@exercise
def other_convention(answer):
    """answer(cond, uncond, w): two (B, …) and Ho and Salimans' w -> guided (B, …)."""
    for shape, w in [((3, 1, 4, 4), 3.0), ((5, 2), 0.0), ((1, 3), 6.5), ((2, 2), -1.0)]:
        cond, uncond = torch.randn(shape), torch.randn(shape)
        got = call(answer, cond, uncond, w)
        expect_shape(got, shape, "the guided output is like the two that it is made of")
        true = (1 + w) * cond - w * uncond
        slips = [
            (
                uncond + w * (cond - uncond),
                "That is diffusers' convention: there w = 1 is the class alone, "
                "here it is w = 0.",
            ),
            (
                (1 + w) * uncond - w * cond,
                "The two are swapped: you move away from the class.",
            ),
            (
                cond - w * (cond - uncond),
                "A sign: w > 0 should go beyond `cond`, and you go back to `uncond`.",
            ),
            (
                uncond + (w - 1) * (cond - uncond),
                "You subtract 1: which of the two conventions has the larger number?",
            ),
            (
                (1 + w) * cond + w * uncond,
                "The weights must add up to 1, whatever w is.",
            ),
        ]
        hint = "w = 0 must give `cond` itself, and w = -1 must give `uncond`."
        compare(got, true, slips, hint)
    return "One and the same line; the two conventions start to count at its two ends."


@exercise
def several_wishes(answer):
    """answer(plain, wishes, weights): (B, …), (K, B, …), (K,) -> (B, …)."""
    for k, shape in [(2, (3, 4)), (1, (2, 1, 3, 3)), (3, (1, 5)), (4, (4, 2))]:
        plain, wishes = torch.randn(shape), torch.randn(k, *shape)
        weights = torch.randn(k) * 3
        got = call(answer, plain, wishes, weights)
        expect_shape(got, shape, "one guided x0 for each image")
        w = weights.view(-1, *[1] * len(shape))
        steps = w * (wishes - plain)
        slips = [
            (
                plain + (w * wishes).sum(0),
                "You add the wishes themselves: add how each differs from `plain`.",
            ),
            (
                plain + steps.mean(0),
                "You average over the wishes: each has a weight of its own, add up.",
            ),
            (steps.sum(0), "The place where all the steps start is missing."),
            (
                plain - steps.sum(0),
                "A sign: a positive weight should move towards its wish.",
            ),
            ((w * wishes).sum(0), "Weights that do not add up to 1 change the scale."),
            (
                plain + ((w / w.sum()) * (wishes - plain)).sum(0),
                "You make the weights add up to 1: they are free, and may be negative.",
            ),
        ]
        if k > 1:
            one = plain
            for weight, wish in zip(weights, wishes, strict=True):
                one = one + weight * (wish - one)
            slips.append(
                (
                    one,
                    "Each step starts where the last one ended: all start at `plain`.",
                )
            )
        hint = "Weights 0 must give `plain`; a single weight 1 must give its wish."
        compare(got, plain + steps.sum(0), slips, hint)
    return "A negative weight is a negative prompt."


@exercise
def threshold(answer):
    """answer(x0, share): (B, …), float -> the same, cut and divided, each by itself."""
    for shape, scale, share in [((4, 1, 6, 6), 3.0, 0.9), ((3, 50), 0.2, 0.5)]:
        size = torch.linspace(0.3, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))
        x0 = scale * size * torch.randn(shape)
        got = call(answer, x0, share)
        expect_shape(got, shape, "the same images")
        bound, whole = _bound(x0, share), x0.abs().quantile(share).clamp(min=1)
        slips = [
            (x0 / bound, "You divide but do not cut: some pixels are still outside."),
            (x0.clamp(-1, 1), "You cut at -1 and 1 and lose what is large in x0."),
            (
                x0.clamp(-bound, bound),
                "You cut at the quantile and do not divide by it.",
            ),
            (
                x0.clamp(-whole, whole) / whole,
                "You take one quantile of the whole batch: each image has its own.",
            ),
            (
                (x0 / x0.flatten(1).abs().quantile(share, dim=1).view_as(size)).clamp(
                    -1, 1
                ),
                "You make small images larger: the bound is never less than 1.",
            ),
            (
                _by(x0, x0.flatten(1).quantile(share, dim=1).clamp(min=1)),
                "You take the quantile of x0: take that of its size, |x0|.",
            ),
            (
                _by(x0, x0.flatten(1).abs().amax(1).clamp(min=1)),
                "You divide by the largest pixel: one single pixel would decide.",
            ),
        ]
        hint = "An image that lies inside [-1, 1] must come back unchanged."
        compare(got, x0.clamp(-bound, bound) / bound, slips, hint)
    return "Contrast is given up for the shades that a plain cut would lose."


def _bound(x0, share):
    quantile = x0.flatten(1).abs().quantile(share, dim=1).clamp(min=1)
    return quantile.view(-1, *[1] * (x0.ndim - 1))


def _by(x0, bound):
    bound = bound.view(-1, *[1] * (x0.ndim - 1))
    return x0.clamp(-bound, bound) / bound


@exercise
def tilted(answer):
    """answer(m, s2, S2, w): four (B,) -> (2, B), mean and variance of the density that
    is proportional to N(m, s2)^w N(0, S2)^(1 - w)."""
    for b in (4, 1):
        m, s2 = torch.randn(b) * 2, torch.rand(b) + 0.3
        S2, w = s2 + torch.rand(b) + 0.5, 1.5 + 4 * torch.rand(b)
        got = call(answer, m, s2, S2, w)
        if b != 2 and got.shape == (b, 2):
            raise Wrong("Rows and columns are swapped: means in row 0, variances in 1.")
        expect_shape(got, (2, b), "means in row 0, variances in row 1")
        expect_finite(got, "Is a precision negative somewhere?")
        precision = w / s2 - (w - 1) / S2
        true = torch.stack([w * m / s2 / precision, 1 / precision])
        plus = w / s2 + (w - 1) / S2
        slips = [
            (
                torch.stack([true[0], precision]),
                "Row 1 holds the precision: the variance is 1 over it.",
            ),
            (
                torch.stack([true[0], true[1].sqrt()]),
                "Row 1 holds the standard deviation.",
            ),
            (
                torch.stack([w * m / s2 / plus, 1 / plus]),
                "N(0, S2) has the exponent 1 - w: its precision is subtracted.",
            ),
            (
                torch.stack([m, true[1]]),
                "The variance is right. The mean moves too: "
                "complete the square with the term that is linear in x.",
            ),
            (
                torch.stack([w * m, true[1]]),
                "The variance is right. The mean is a mean weighted by precisions.",
            ),
            (
                torch.stack([true[0], s2 * (s2 / S2) ** (w - 1)]),
                "That is the variance that guided sampling ends with: "
                "the tilted density has another.",
            ),
        ]
        hint = "Add the exponents: the factor of -x^2 / 2 is the precision."
        compare(got, true, slips, hint)
    return "With m = 0 this is the tilted variance of the text."
