"""Checks for the exercises of the chapter on learning a distribution."""

import math

import torch
from torch.distributions import Normal

from aigc_lib.evaluate import precision_recall
from aigc_lib.exercises.verdict import Wrong, call, exercise, expect_shape, same


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
        if same(got, true):
            continue
        if same(got, -true):
            raise Wrong("The sign is the other way round.")
        if same(got, true.exp()):
            raise Wrong("That is the density: take its logarithm.")
        if same(got, Normal(mu, sigma.sqrt()).log_prob(x).sum(1)):
            raise Wrong(
                "You treat sigma as the variance: it is the standard deviation."
            )
        if same(got, true + d / 2 * math.log(2 * math.pi)):
            raise Wrong(
                "The constant with 2 pi is missing: a density must integrate to one."
            )
        if same(got, true + sigma.log().sum()):
            raise Wrong(
                "The term with log sigma is missing: "
                "a wider Gaussian is lower everywhere near its mean."
            )
        if same(got, true - (d - 1) * (-0.5 * math.log(2 * math.pi))):
            raise Wrong(
                "The constant with 2 pi counts once per dimension: there are D of them."
            )
        raise Wrong(
            "The value is off. Try mu = 0 and sigma = 1 at x = 0, "
            "where each dimension gives -0.919."
        )
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
        if got.isnan() or got.isinf():
            raise Wrong(
                f"You return {got.item()} where p contains a zero: "
                "such an outcome costs nothing."
            )
        terms = torch.special.xlogy(p, p / q)
        true = terms.sum()
        if same(got, true):
            continue
        if same(got, -true):
            raise Wrong(
                "The sign is the other way round: a KL divergence is never negative."
            )
        if same(got, true / math.log(2)):
            raise Wrong("That is in bits: nats take the natural logarithm.")
        if same(got, terms.mean()):
            raise Wrong(
                "You average over the outcomes: p already weights them, so sum."
            )
        if not zeros and same(got, (q * (q / p).log()).sum()):
            raise Wrong(
                "You compute the divergence in the other direction: "
                "the average is taken under p."
            )
        if same(got, -torch.special.xlogy(p, q).sum()):
            raise Wrong(
                "That is the cross-entropy of p and q: "
                "for p = q it is the entropy, not zero."
            )
        raise Wrong("The value is off. Try p = q, where it must be zero.")
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
        if same(got, true):
            continue
        if same(got, true * n / (n - 1)):
            raise Wrong(
                "You divide by N - 1, which removes the bias; "
                "the likelihood is highest with another divisor."
            )
        if same(got, true * n):
            raise Wrong(
                "You sum over the points: "
                "divide, so that more data do not mean more spread."
            )
        if same(got, x.T @ x / n):
            raise Wrong(
                "The mean is not subtracted: move the points, and your result changes."
            )
        if same(got, (x - x.mean()).T @ (x - x.mean()) / n):
            raise Wrong(
                "You subtract one mean of all numbers: each coordinate has its own."
            )
        if same(got, torch.diag(true.diagonal())):
            raise Wrong("Only the diagonal is right: coordinates also vary together.")
        raise Wrong(
            "The value is off. Its diagonal must be x.var(dim=0, correction=0)."
        )
    return (
        "Divide by N: "
        "likelihood prefers it, although it is a little too small on average."
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
        if same(got, (apart + spread).sum()):
            continue
        if same(got, (apart + (var1 - var2).square()).sum()):
            raise Wrong(
                "You subtract variances: "
                "the formula for one dimension subtracts standard deviations."
            )
        if same(got, (apart + spread).sum().sqrt()):
            raise Wrong(
                "You took a square root at the end: the squared distance is asked for."
            )
        if same(got, (apart + spread).mean()):
            raise Wrong("You average over the dimensions: their costs add up.")
        if same(got, spread.sum()) or same(got, apart.sum()):
            raise Wrong(
                "Only half of it is there: "
                "both the means and the spreads cost something."
            )
        if same(got, apart.sum().sqrt() + spread.sum()):
            raise Wrong(
                "The distance of the means must be squared, "
                "as the units of a variance are."
            )
        if same(got, (apart + var1 + var2).sum()):
            raise Wrong(
                "That is the cost of a random plan: "
                "the best one makes x and y vary together."
            )
        raise Wrong(
            "The value is off. Equal Gaussians must give 0, and moving a mean by 1 "
            "must add 1 if they were equal."
        )
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
    if always(lambda real, fake, k: 100 * _share(real, fake, k)):
        raise Wrong("That is per cent: a share lies between 0 and 1.")
    if always(lambda real, fake, k: len(fake) * _share(real, fake, k)):
        raise Wrong("That is a count: divide by the number of fakes.")
    if always(lambda real, fake, k: _share(fake, real, k)):
        raise Wrong(
            "That is the recall: the balls stand around real points, "
            "and the fakes are asked."
        )
    if always(lambda real, fake, k: _share(real, fake, k - 1)):
        raise Wrong(
            "Your balls are too small: "
            "the nearest point to a real point is that point itself."
        )
    if always(lambda real, fake, k: _share(real, fake, k + 1)):
        raise Wrong("Your balls are too large: they reach one neighbour too far.")
    if always(lambda real, fake, k: 1 - _share(real, fake, k)):
        raise Wrong("That is the share outside of all balls.")
    raise Wrong(
        "The value is off. For fake = real it must be 1, and far away it must be 0."
    )


def _share(centres, points, k):
    """The share of points within the k-th-neighbour ball of a centre, by the meter."""
    return torch.tensor(precision_recall(centres, points, k)[0])
