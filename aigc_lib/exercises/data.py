"""Checks for the exercises of the chapter on learning a distribution."""

import math

import torch
from torch.distributions import Normal

from aigc_lib.exercises.data_meter import diagonal_frechet, precision
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)

__all__ = [
    "log_density",
    "kl",
    "covariance",
    "diagonal_frechet",
    "precision",
]


@exercise
def log_density(answer):
    """answer(x, mu, sigma): (N, D), (D,), (D,) -> (N,), the log-density of
    N(mu, diag sigma^2) in nats."""
    for n, d in [(5, 3), (1, 4), (6, 1)]:
        x, mu, sigma = torch.randn(n, d), torch.randn(d), 0.5 + torch.rand(d)
        got = call(answer, x, mu, sigma)
        if got.shape == (n, d) and d > 1:
            raise Wrong(
                "You return one value per coordinate: "
                "independent coordinates add their log-densities, dim 1."
            )
        expect_shape(got, (n,), "one value per point")
        true = Normal(mu, sigma).log_prob(x).sum(1)
        slips = [
            (-true, "The sign is the other way round."),
            (true.exp(), "That is the density: take its logarithm."),
            (
                Normal(mu, sigma.sqrt()).log_prob(x).sum(1),
                "You treat sigma as the variance: it is the standard deviation.",
            ),
            (
                true + d / 2 * math.log(2 * math.pi),
                "The constant with 2 pi is missing: a density must integrate to one.",
            ),
            (
                true + sigma.log().sum(),
                "The term with log sigma is missing: "
                "a wider Gaussian is lower everywhere near its mean.",
            ),
            (
                true - (d - 1) * (-0.5 * math.log(2 * math.pi)),
                "The constant with 2 pi counts once per dimension: there are D.",
            ),
        ]
        hint = "Try mu = 0 and sigma = 1 at x = 0, where each dimension gives -0.919."
        compare(got, true, slips, hint)
    return "A sum over coordinates, since they are independent."


@exercise
def kl(answer):
    """answer(p, q): (K,), (K,) -> (), KL(p || q) in nats; p may contain zeros."""
    for k, zeros in [(5, 0), (5, 2), (1, 0), (8, 3)]:
        p, q = torch.rand(k).add(0.1), torch.rand(k).add(0.1)
        p[:zeros] = 0
        p, q = p / p.sum(), q / q.sum()
        got = call(answer, p, q)
        if got.shape == (k,) and k > 1:
            raise Wrong(
                "You return one value per outcome: the divergence is their sum."
            )
        expect_shape(got, (), "a single number")
        expect_finite(got, "An outcome with p = 0 costs nothing.")
        terms = torch.special.xlogy(p, p / q)
        true = terms.sum()
        slips = [
            (
                -true,
                "The sign is the other way round: a KL divergence is never negative.",
            ),
            (true / math.log(2), "That is in bits: nats take the natural logarithm."),
            (
                terms.mean(),
                "You average over the outcomes: p already weights them, so sum.",
            ),
            (
                (q * (q / p).log()).sum(),
                "You compute the divergence in the other direction: "
                "the average is taken under p.",
            ),
            (
                -torch.special.xlogy(p, q).sum(),
                "That is the cross-entropy of p and q: "
                "for p = q it is the entropy, not zero.",
            ),
        ]
        hint = "Try p = q, where it must be zero."
        compare(got, true, slips, hint)
    return "Zero for p = q, and never negative."


@exercise
def covariance(answer):
    """answer(x): (N, D) -> (D, D), the covariance matrix of maximum likelihood."""
    for n, d in [(7, 3), (3, 5), (4, 1), (4, 4)]:
        x = torch.randn(n, d) @ torch.randn(d, d) + 2
        got = call(answer, x)
        if n != d and got.shape == (n, n):
            raise Wrong(
                f"Your result has shape ({n}, {n}): "
                f"the points are the rows, so it should be ({d}, {d})."
            )
        if got.shape == (d,) and d > 1:
            raise Wrong(
                "You return the variances: "
                "a covariance matrix also holds how coordinates vary together."
            )
        expect_shape(got, (d, d), "coordinates against coordinates")
        true = torch.cov(x.T, correction=0).reshape(d, d)
        slips = [
            (
                true * n / (n - 1),
                "You divide by N - 1, which removes the bias; "
                "the likelihood is highest with another divisor.",
            ),
            (
                true * n,
                "You sum over the points: "
                "divide, so that more data do not mean more spread.",
            ),
            (
                x.T @ x / n,
                "The mean is not subtracted: move the points, and your result changes.",
            ),
            (
                (x - x.mean()).T @ (x - x.mean()) / n,
                "You subtract one mean of all numbers: each coordinate has its own.",
            ),
            (
                torch.diag(true.diagonal()),
                "Only the diagonal is right: coordinates also vary together.",
            ),
        ]
        hint = "Its diagonal must be x.var(dim=0, correction=0)."
        compare(got, true, slips, hint)
    return (
        "Divide by N: "
        "likelihood prefers it, although it is a little too small on average."
    )
