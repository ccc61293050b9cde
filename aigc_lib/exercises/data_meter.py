"""Checks for the data chapter's exercises on the meter."""

import torch

from aigc_lib.evaluate import precision_recall
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_shape,
    same,
)


@exercise
def diagonal_frechet(answer):
    """answer(mu1, var1, mu2, var2): four (D,) -> (), the squared Fréchet distance of
    diagonal Gaussians."""
    for d in [4, 1, 3]:
        mu1, mu2 = torch.randn(d), torch.randn(d)
        var1, var2 = 0.2 + 2 * torch.rand(d), 0.2 + 2 * torch.rand(d)
        got = call(answer, mu1, var1, mu2, var2)
        if got.shape == (d,) and d > 1:
            raise Wrong(
                "You return one value per dimension: "
                "the costs of all dimensions add up."
            )
        expect_shape(got, (), "a single number")
        apart = (mu1 - mu2).square()
        spread = (var1.sqrt() - var2.sqrt()).square()
        slips = [
            (
                (apart + (var1 - var2).square()).sum(),
                "You subtract variances: "
                "the formula for one dimension subtracts standard deviations.",
            ),
            (
                (apart + spread).sum().sqrt(),
                "You took a square root at the end: the squared distance is asked for.",
            ),
            (
                (apart + spread).mean(),
                "You average over the dimensions: their costs add up.",
            ),
            (
                spread.sum(),
                "Only half of it is there: "
                "both the means and the spreads cost something.",
            ),
            (
                apart.sum(),
                "Only half of it is there: "
                "both the means and the spreads cost something.",
            ),
            (
                apart.sum().sqrt() + spread.sum(),
                "The distance of the means must be squared, "
                "as the units of a variance are.",
            ),
            (
                (apart + var1 + var2).sum(),
                "That is the cost of a random plan: "
                "the best one makes x and y vary together.",
            ),
        ]
        hint = (
            "Equal Gaussians must give 0, and moving a mean by 1 "
            "must add 1 if they were equal."
        )
        compare(got, (apart + spread).sum(), slips, hint)
    return "One dimension at a time, the cheapest plan keeps the order."


@exercise
def precision(answer):
    """answer(real, fake, k): (N, F), (M, F) -> (), the share of fakes inside the balls
    around the reals."""
    cases = []
    for n, m, f, k in [(20, 30, 2, 3), (20, 15, 3, 3), (25, 40, 1, 2), (30, 60, 2, 5)]:
        real, fake = torch.randn(n, f), 1.5 * torch.randn(m, f) + 1
        got = call(answer, real, fake, k)
        if got.shape == (m,):
            raise Wrong("You return one value per fake: the share is their mean.")
        expect_shape(got, (), "a single share")
        cases.append((got, real, fake, k))

    # One case alone may agree by chance: shares of few points are coarse.
    def always(formula):
        return all(same(got, formula(real, fake, k)) for got, real, fake, k in cases)

    if always(_share):
        return "Exchange real and fake, and the same function gives the recall."
    slips = [
        (lambda *a: 100 * _share(*a), "That is per cent: a share lies in 0 to 1."),
        (
            lambda real, fake, k: len(fake) * _share(real, fake, k),
            "That is a count: divide by the number of fakes.",
        ),
        (
            lambda real, fake, k: _share(fake, real, k),
            "That is the recall: the balls stand around real points, "
            "and the fakes are asked.",
        ),
        (
            lambda real, fake, k: _share(real, fake, k - 1),
            "Your balls are too small: "
            "the nearest point to a real point is that point itself.",
        ),
        (
            lambda real, fake, k: _share(real, fake, k + 1),
            "Your balls are too large: they reach one neighbour too far.",
        ),
        (lambda *a: 1 - _share(*a), "That is the share outside of all balls."),
    ]
    for formula, hint in slips:
        if always(formula):
            raise Wrong(hint)
    raise Wrong(
        "The value is off. For fake = real it must be 1, and far away it must be 0."
    )


def _share(centres, points, k):
    """The share of points within the k-th-neighbour ball of a centre, by the meter."""
    return torch.tensor(precision_recall(centres, points, k)[0])
