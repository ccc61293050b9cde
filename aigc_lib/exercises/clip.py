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
    """answer(image, texts, right, tau): (D,), (N, D), int, float -> (D,), the slope of
    the row's loss -log p_right in the image's vector."""
    for n, d, tau in [(4, 3, 0.5), (6, 2, 0.1), (2, 5, 1.0), (3, 3, 0.07)]:
        image = F.normalize(torch.randn(d), dim=0)
        texts = F.normalize(torch.randn(n, d), dim=1)
        right = int(torch.randint(n, ()))
        got = call(answer, image, texts, right, tau)
        if got.shape == texts.shape:
            raise Wrong("You return one vector for each text: add them up.")
        expect_shape(got, (d,), "a slope for each entry of the image's vector")
        p = (texts @ image / tau).softmax(0)
        true = (p @ texts - texts[right]) / tau
        cold = (texts @ image).softmax(0)
        others = p.clone()
        others[right] = 0
        slips = [
            (-true, "The sign is the other way round: a step goes against the slope."),
            (tau * true, "The factor 1 / tau in front is missing."),
            (true * tau**2, "You multiply by tau: the slope is divided by it."),
            (
                (cold @ texts - texts[right]) / tau,
                "The temperature is missing inside the softmax.",
            ),
            (p @ texts / tau, "Only the push is there: the right text pulls, too."),
            (-texts[right] / tau, "Only the pull is there: the texts push, too."),
            (
                (others @ texts - texts[right]) / tau,
                "The right text also stands in the mean, with its own probability.",
            ),
            (
                (texts.mean(0) - texts[right]) / tau,
                "All texts push equally: weight each by its probability.",
            ),
        ]
        hint = "It is the texts' mean, weighted by p, minus the right text, over tau."
        compare(got, true, slips, hint)
    return "The slope is zero when the model is sure of the right text."


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
