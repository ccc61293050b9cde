"""Checks for the exercises of the chapter on latent diffusion."""

import math

import torch

from aigc_lib import diffusion
from aigc_lib.exercises.latent_diffusion_parts import latent_mask, lora, patches
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)

__all__ = [
    "cross",
    "latent_mask",
    "lora",
    "patches",
    "rescale",
    "scale",
    "start",
]


@exercise
def scale(answer):
    """answer(z): latents (N, D, h, w) -> (), the factor that gives them deviation 1."""
    for n, factor, shift in [(60, 5.5, 3.0), (80, 0.2, -0.3), (60, 1.0, 0.0)]:
        z = factor * torch.randn(n, 4, 8, 8) + shift
        z[:, 0] *= 2  # channels differ
        got = call(answer, z)
        if got.shape == (4,) or got.numel() == 4:
            raise Wrong("You give each channel a factor: one serves all of them.")
        if got.shape == z.shape:
            raise Wrong("You return the scaled latents: only the factor is asked for.")
        expect_shape(got, (), "one number for all latents")
        true = 1 / z.std()
        root = 1 / z.square().mean().sqrt()
        slips = [
            (z.std(), "That is the deviation: to divide by it is the factor 1 / it."),
            (1 / z.var(), "You divide by the variance: its root has z's unit."),
            (z.var(), "That is the variance: 1 over its root is asked for."),
            (
                1 / z.std((0, 2, 3)).mean(),
                "That is 1 over the channels' mean deviation: take all at once.",
            ),
            (1 / z.abs().mean(), "You take the mean size, not the deviation."),
            (
                1 / z.std(0).mean(),
                "You take the deviation at each place, then the mean: take all at "
                "once.",
            ),
        ]
        if shift:
            slips.append(
                (root, "A deviation is counted from the mean: subtract it first.")
            )
        compare(got, true, slips, "Multiply by it: the deviation must become 1.")
    return "Stable Diffusion 1 has 0.18215: its latents deviate by 1 / 0.18215 = 5.49."


@exercise
def cross(answer):
    """answer(x, text, wq, wk, wv, heads): (B, T, C), (B, S, W), (C, C), (W, C), (W, C),
    int -> (B, T, C), what each place reads in the text, its heads side by side."""
    for b, t, s, c, w, h in [
        (2, 5, 3, 8, 6, 2),
        (1, 4, 7, 9, 2, 3),
        (3, 2, 4, 5, 8, 1),
    ]:
        x, text = torch.randn(b, t, c), torch.randn(b, s, w)
        wq, wk, wv = torch.randn(c, c), torch.randn(w, c), torch.randn(w, c)
        got = call(answer, x, text, wq, wk, wv, h)
        if got.shape == (b, h, t, c // h):
            raise Wrong("The heads still stand apart: put them side by side.")
        if got.shape == (b, t, c // h) and h > 1:
            raise Wrong("The heads are summed or averaged: put them side by side.")
        if got.shape == (b, s, c):
            raise Wrong("The text asks and the picture answers: it is the other way.")
        if got.shape in ((b, t, s), (b, h, t, s)):
            raise Wrong("These are weights or scores: sum the values with them.")
        expect_shape(got, (b, t, c), "one vector for each place")
        expect_finite(got, "Use softmax, which subtracts the largest score.")
        parts = x @ wq, text @ wk, text @ wv
        hint = "Queries come from x, keys and values from the text; look at the heads."
        compare(got, join(read(*split(parts, h))), cross_slips(x, parts, w, h), hint)
    return "The weights form a T x S table in each head: who reads which token."


def split(parts, heads):
    """Rows (B, n, C) -> (B, heads, n, d): head i has the columns from i d on."""
    return [part.unflatten(2, (heads, -1)).transpose(1, 2) for part in parts]


def join(found):
    """What heads read (B, heads, T, d), side by side: (B, T, C)."""
    return found.transpose(1, 2).flatten(2)


def read(q, k, v, root=None, dim=-1):
    """Attention with the scores over `root`, else over the root of their width."""
    return (q @ k.mT / (root or math.sqrt(q.shape[-1]))).softmax(dim) @ v


def cross_slips(x, parts, w, h):
    """What wrong answers to `cross` give, each with its hint."""
    q, k, v = split(parts, h)
    (b, t, c), s = x.shape, k.shape[2]
    d = c // h
    every = [part.unflatten(2, (-1, h)).movedim(3, 1) for part in parts]
    views = [part.reshape(b, h, -1, d) for part in parts]
    mixed = (
        "Heads and places are mixed: swap these two dimensions, do not only reshape."
    )
    stripes = "A head has neighbouring columns: you take every heads-th one."
    order = "The columns of the result are out of order: one head after the other."
    return [
        (join(read(q, k, v, 1)), "Divide the scores by the root of d."),
        (join(read(q, k, v, d)), "Divide by the root of d, not by d."),
        (read(*parts), "All columns ask as one head: give each head its own."),
        (join(read(q, k, v, c**0.5)), "A query of one head has width d = C / heads."),
        (join(read(q, k, v, w**0.5)), "d is the width of a query, not W."),
        (join(read(q, k, v, s**0.5)), "Divide by the root of d, not of S."),
        (join(read(q, k, k)), "You sum the keys: sum the values."),
        (
            join(read(q, k, v, dim=2)),
            "The weights of a place sum to 1 over the tokens: softmax along S.",
        ),
        (
            x + join(read(q, k, v)),
            "The input is added later: return what is read only.",
        ),
        (
            parts[2].mean(1, keepdim=True).expand(b, t, c),
            "Every token gets the same weight: ask the queries.",
        ),
        (read(*views).reshape(b, t, c), mixed),
        (join(read(*views)), mixed),
        (read(q, k, v).reshape(b, t, c), mixed),
        (read(*every).movedim(1, 3).flatten(2), stripes),
        (join(read(*every)), stripes),
        (read(q, k, v).movedim(1, 3).flatten(2), order),
        (join(read(q, k, v).flip(1)), order),
    ]


@exercise
def start(answer):
    """answer(z0, eps, strength, alpha_bar): (B, ...), like z0, 0 < strength <= 1, (n,)
    -> the latents of time round(strength * n) - 1."""
    for n, strength, shape in [(1000, 0.6, (3, 4, 8, 8)), (50, 0.5, (1, 4, 2, 2))]:
        alpha_bar = diffusion.cosine_schedule(n)
        z0, eps = torch.randn(shape), torch.randn(shape)
        got = call(answer, z0, eps, strength, alpha_bar)
        expect_shape(got, shape, "latents like z0")
        t = round(strength * n) - 1

        def noisy(a, z0=z0, eps=eps):
            a = float(a)
            return math.sqrt(a) * z0 + math.sqrt(1 - a) * eps

        a = float(alpha_bar[t])
        slips = [
            (
                noisy(alpha_bar[n - 1 - t]),
                "You count from the wrong end: more strength means more noise.",
            ),
            (
                noisy(alpha_bar[n - 2 - t]),
                "You count from the wrong end: more strength means more noise.",
            ),
            (noisy(1 - strength), "1 - strength is no alpha_bar: look it up."),
            (noisy(strength), "Strength is a share of the times: look alpha_bar up."),
            (a * z0 + (1 - a) * eps, "Roots are missing: alpha_bar is a variance."),
            (
                math.sqrt(1 - a) * z0 + math.sqrt(a) * eps,
                "Signal and noise have changed places.",
            ),
            (
                z0 + math.sqrt(1 - a) * eps,
                "The signal shrinks by the root of alpha_bar.",
            ),
            (z0, "That is the picture without noise."),
            (eps, "That is pure noise: nothing of the picture is left."),
        ]
        hint = "Look up alpha_bar at time round(strength * n) - 1, then mix z0 and eps."
        compare(got, noisy(a), slips, hint)
    return "With strength 1 nothing but noise is left, and the prompt alone decides."


@exercise
def rescale(answer):
    """answer(alpha_bar): a schedule (n,) -> (n,), whose roots keep their first value
    and end at 0, all shifted and stretched alike."""
    for n in (1000, 20, 3):
        a = diffusion.scaled_linear_schedule(n, last=0.012 * 1000 / max(n, 20))
        got = call(answer, a)
        expect_shape(got, (n,), "a value for each time")
        expect_finite(got, "Something is divided by 0.")
        roots = a.sqrt()
        first, last = roots[0], roots[-1]
        true = ((roots - last) * first / (first - last)) ** 2
        cut = a.clone()
        cut[-1] = 0
        slips = [
            (true.sqrt(), "These are the roots: square them at the end."),
            (
                (a - a[-1]) * a[0] / (a[0] - a[-1]),
                "You shift alpha_bar itself: its root multiplies the signal.",
            ),
            ((roots - last) ** 2, "Shifted, but not stretched: the first value fell."),
            (
                ((roots - last) / (first - last)) ** 2,
                "The first value is 1 now: it must stay as it was.",
            ),
            (cut, "Only the last value changed: a jump from signal to none."),
            (a, "Nothing changed: the last value must be 0."),
        ]
        hint = "Subtract the last root from all, then multiply to restore the first."
        compare(got, true, slips, hint)
    return "The last step now sees pure noise in training, as the sampler will."
