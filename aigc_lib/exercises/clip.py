"""Checks for the exercises of the chapter on CLIP."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.clip_batches import duplicates, ensemble, nt_xent, recall
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)

__all__ = [
    "cosines",
    "duplicates",
    "ensemble",
    "gradient",
    "nt_xent",
    "recall",
    "siglip",
]


@exercise
def cosines(answer):
    """answer(images, texts): (N, D), (M, D), any length -> (N, M) cosines."""
    for n, m, d in [(4, 3, 5), (2, 6, 1), (3, 5, 8), (1, 1, 2)]:
        images, texts = 3 * torch.randn(n, d) + 1, 0.2 * torch.randn(m, d)
        got = call(answer, images, texts)
        if n != m and got.shape == (m, n):
            raise Wrong("Rows are texts and columns images: it should be turned over.")
        expect_shape(got, (n, m), "a row for each image, a column for each text")
        u, v = F.normalize(images, dim=1), F.normalize(texts, dim=1)
        slips = [
            (images @ texts.T, "These are products: the lengths are still in them."),
            (u @ texts.T, "The texts keep their lengths: divide by those, too."),
            (images @ v.T, "The images keep their lengths: divide by those, too."),
            (
                images @ texts.T / images.norm() / texts.norm(),
                "You divide by the length of the whole table: "
                "each row has a length of its own.",
            ),
            (
                F.normalize(images, dim=0) @ F.normalize(texts, dim=0).T,
                "You normalise the columns: a vector is a row, dim 1.",
            ),
            (
                images.softmax(1) @ texts.softmax(1).T,
                "A softmax makes the entries sum to 1; "
                "length 1 means that their squares do.",
            ),
        ]
        hint = "A vector compared with itself must give 1, with its opposite -1."
        compare(got, u @ v.T, slips, hint)
    return "What is left is the angle between two vectors, whatever their lengths."


@exercise
def gradient(answer):
    """answer(h, texts, right, tau): (D,) of any length, (N, D), int, float -> (D,), the
    slope of the row's loss -log p_right in h, where the image's vector is h / |h|."""
    for n, d, tau in [(4, 3, 0.5), (6, 4, 0.1), (2, 5, 1.0), (3, 3, 0.07)]:
        u = F.normalize(torch.randn(d), dim=0)
        length = 0.6 + 0.3 * torch.rand(()) if n == 4 else 2 + torch.rand(())
        texts = F.normalize(torch.randn(n, d), dim=1)
        right = int(torch.randint(n, ()))
        got = call(answer, length * u, texts, right, tau)
        if got.shape == texts.shape:
            raise Wrong("You return one vector for each text: add them up.")
        expect_shape(got, (d,), "a slope for each entry of h")

        def across(slope, u=u, length=length):
            return (slope - u * (u @ slope)) / length

        def mean(products, texts=texts):
            return products.softmax(0) @ texts

        pull, p = texts[right], (texts @ u / tau).softmax(0)
        slope = (mean(texts @ u / tau) - pull) / tau
        true = across(slope)
        free = (mean(length * texts @ u / tau) - pull) / tau
        slips = [
            (-true, "The sign is the other way round: a step goes against the slope."),
            (slope, "This is the slope in u: carry it through the division by |h|."),
            (slope / length, "The part along u is still there: h only turns u."),
            (length * true, "Divide by |h|: a long h turns less."),
            (length**2 * true, "You multiply by |h|: a long h turns less."),
            (tau * true, "The factor 1 / tau in front is missing."),
            (true * tau**2, "You multiply by tau: the slope is divided by it."),
            (free, "You use h for u: divide by its length before the softmax."),
            (across(free), "The softmax sees h: its products need u."),
            (across((mean(texts @ u) - pull) / tau), "The softmax lacks the tau."),
            (u * (u @ slope) / length, "You keep the part along u: take it away."),
            (across(p @ texts / tau), "Only the push: the right text pulls, too."),
            (across(-pull / tau), "Only the pull is there: the texts push, too."),
            (
                across(((p @ texts - p[right] * pull) - pull) / tau),
                "The right text also stands in the mean, with its own probability.",
            ),
            (
                across((texts.mean(0) - pull) / tau),
                "All texts push equally: weight each by its probability.",
            ),
        ]
        hint = "First the slope in u = h / |h|; then only its part across u, over |h|."
        compare(got, true, slips, hint)
    return "It stands at a right angle to h: a step turns the vector."


@exercise
def siglip(answer):
    """answer(logits): (N, N) -> (), the sigmoid loss: a sum over texts, a mean over
    images."""
    for n, factor in [(4, 1), (3, 1), (6, 200), (2, 1)]:
        logits = factor * torch.randn(n, n)
        got = call(answer, logits)
        expect_shape(got, (), "one number for the whole batch")
        expect_finite(
            got,
            "Large logits overflow: a sigmoid reaches 0 or 1, "
            "its logarithm infinity. Use F.softplus or F.logsigmoid.",
        )
        sign = 2 * torch.eye(n) - 1
        each = F.softplus(-sign * logits)
        true = each.sum(1).mean()
        texts = torch.arange(n)
        slips = [
            (-true, "The sign is the other way round: a loss is never negative."),
            (
                each.mean(),
                "You average over all pairs: sum over the texts of an image.",
            ),
            (each.sum(), "You sum over the images, too: average over them."),
            (
                F.softplus(sign * logits).sum(1).mean(),
                "The right pairs get the answer no, and the others yes.",
            ),
            (
                F.softplus(-logits.diagonal()).mean(),
                "Only the right pairs count: the others have a loss as well.",
            ),
            (
                F.softplus(-logits).sum(1).mean(),
                "You ask for a yes everywhere: off the diagonal the answer is no.",
            ),
            (F.cross_entropy(logits, texts), "That is a softmax: InfoNCE, not SigLIP."),
        ]
        hint = "For logits of 0 each of the N x N questions costs log 2."
        compare(got, true, slips, hint)
    return (
        "No softmax: each pair has its own question, so a batch can be cut up freely."
    )
