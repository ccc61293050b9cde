"""Checks for the warm-up's questions about densities and chance."""

import math

import torch
from torch.distributions import Laplace, Normal

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    expect_finite,
    expect_shape,
)
from aigc_lib.exercises.warmup_parts import question


@question("Expectation")
def expectation(answer):
    """answer(f, draws): (N,) -> (), the estimate of E[f(x)] from draws of x."""
    for f, n in [(torch.square, 50), (torch.exp, 7), (torch.cos, 20)]:
        x = torch.randn(n) + 0.5
        got = call(answer, f, x)
        expect_shape(got, (), "one number, the estimate")
        slips = [
            (
                f(x.mean()),
                "You apply f to the mean: "
                "E[f(x)] and f(E[x]) differ unless f is a straight line.",
            ),
            (f(x).sum(), "You add the values up: an expectation is an average."),
            (x.mean(), "Where does f come in? This estimates E[x]."),
            (
                f(x).median(),
                "This is the median, which is another summary than the expectation.",
            ),
        ]
        hint = "Try f = torch.square and the draws -1 and 1: the estimate is 1."
        compare(got, f(x).mean(), slips, hint)
    return "More draws make it more certain: the error shrinks like 1 / √N."


@question("Log-density")
def log_density(answer):
    """answer(x, mu, logvar): three (B, D) -> (B,), log N(x; mu, diag(exp(logvar)))."""
    for shape in [(4, 3), (1, 5), (6, 2)]:
        x, mu, logvar = torch.randn(3, *shape)
        each = Normal(mu, (0.5 * logvar).exp()).log_prob(x)
        got = call(answer, x, mu, logvar)
        if got.shape == shape:
            raise Wrong(
                "You return one value per dimension: "
                "what happens to the logs of factors that multiply?"
            )
        expect_shape(got, shape[:1], "one value per row")
        true, half_log_2pi = each.sum(1), 0.5 * math.log(2 * math.pi)
        slips = [
            (-true, "The sign is the other way round."),
            (true.exp(), "This is the density: the question asks for its logarithm."),
            (
                each.mean(1),
                "You average over the dimensions: "
                "the log of a product of densities is a sum.",
            ),
            (
                true + shape[1] * half_log_2pi,
                "The constant with 2π is missing: "
                "this density does not integrate to 1.",
            ),
            (
                true + (0.5 * logvar).sum(1),
                "A wide Gaussian is lower at its peak: "
                "the term for its width is missing.",
            ),
            (
                Normal(mu, logvar.exp()).log_prob(x).sum(1),
                "exp(logvar) is the variance, not the standard deviation.",
            ),
        ]
        hint = (
            "Compare with Normal(0, 1).log_prob(x), "
            "then change mu and logvar one at a time."
        )
        compare(got, true, slips, hint)
    return "This sum stands inside most losses of the course."


@question("Log-density")
def log_mixture(answer):
    """answer(log_w, log_p): (K,), (B, K) -> (B,), the log of the weighted sum of K
    densities."""
    for b, k, shift in [(5, 3, 0.0), (2, 4, 0.0), (3, 2, -1000.0)]:
        log_w, log_p = torch.randn(k).log_softmax(0), 2 * torch.randn(b, k) + shift
        true = torch.logsumexp(log_w + log_p, 1)
        got = call(answer, log_w, log_p)
        expect_shape(got, (b,), "one value per row")
        mean, product = (log_w.exp() * log_p).sum(1), (log_w + log_p).sum(1)
        slips = [
            (torch.logsumexp(log_p, 1), "The weights are missing."),
            (mean, "This is the average of the logs: asked is the log of the average."),
            (product, "You multiply the densities: a mixture adds them."),
            (true.exp(), "This is the density: the question asks for its logarithm."),
        ]
        if shift:
            expect_finite(
                got,
                "Around exp(-1000) a density is too small for a float: "
                "never leave the log scale.",
            )
        hint = (
            "With one component and weight 1, "
            "the result is that component's log-density."
        )
        compare(got, true, slips, hint)
    return "It survives densities that no float can hold."


@question("KL divergence")
def kl(answer):
    """answer(p, q): two (B, K) of positive probabilities -> (B,), KL(p || q), nats."""
    for b, k in [(4, 3), (1, 5), (3, 2)]:
        p, q = torch.randn(2, b, k).mul(1.5).softmax(2)
        true = (p * (p / q).log()).sum(1)
        got = call(answer, p, q)
        if got.shape == (b, k):
            raise Wrong(
                "You return one value per outcome: "
                "a KL divergence is one number per pair of distributions."
            )
        expect_shape(got, (b,), "one value per row")
        cross_entropy = -(p * q.log()).sum(1)
        slips = [
            (
                (q * (q / p).log()).sum(1),
                "This is KL(q || p): the two directions differ. "
                "Who does the averaging?",
            ),
            (
                -true,
                "The sign is the other way round: a KL divergence is never negative.",
            ),
            (cross_entropy, "This is the cross-entropy: it is not zero for p = q."),
            (true / math.log(2), "This is in bits: the question asks for nats."),
            (
                true / k,
                "You divide by the number of outcomes: "
                "p is already the average's weight.",
            ),
            (
                (p / q).log().sum(1),
                "Each log ratio counts as often as p draws its outcome: "
                "the weights are missing.",
            ),
        ]
        compare(got, true, slips, "For p = q it must be 0, and positive otherwise.")
    return "Zero for p = q, positive for everything else."


@question("Change of variables")
def change_of_variables(answer):
    """answer(log_px, y, a, b): (B,) -> (B,), the log-density of y = a * x + b; a and b
    are scalar tensors."""
    for px, a, b in [
        (Normal(0.5, 1.3), 2.0, -1.0),
        (Laplace(0.0, 1.0), -0.4, 0.3),
        (Normal(-1.0, 0.7), -3.0, 1.0),
    ]:
        a, b = torch.tensor(a), torch.tensor(b)
        y = a * px.sample((6,)) + b
        at_x, stretch = px.log_prob((y - b) / a), a.abs().log()
        got = call(answer, px.log_prob, y, a, b)
        expect_shape(got, y.shape, "one log-density per entry of y")
        hint = "a can be negative here: by what factor does it stretch a length?"
        expect_finite(got, hint)
        onwards = px.log_prob(a * y + b) - stretch
        density = at_x.exp() / a.abs()
        slips = [
            (
                at_x,
                "The densities no longer integrate to 1: "
                "stretched probability is also thinned.",
            ),
            (
                at_x + stretch,
                "Your density grows when the line is stretched: "
                "the same probability covers more.",
            ),
            (px.log_prob(y) - stretch, "log_px wants an x: which x became this y?"),
            (onwards, "You go from x to y once more: which x became this y?"),
            (
                at_x - a.abs(),
                "A factor of the density is a term of its logarithm, "
                "and that term is a logarithm too.",
            ),
            (density, "This is the density: the question asks for its logarithm."),
        ]
        hint = "With a = 1 it only shifts: log_px(y - b). Then look at b = 0."
        compare(got, at_x - stretch, slips, hint)
    return "Normalising flows are built on this line."


@question("Seeds")
def noise(answer):
    """answer(shape, seed): standard normal numbers, the same for the same seed; no
    other draw is disturbed."""
    for shape in [(4000,), (2, 3)]:
        before = torch.get_rng_state()
        got = call(answer, shape, 7)
        untouched = torch.equal(before, torch.get_rng_state())
        expect_shape(got, shape, "the shape that was asked for")
        if not torch.equal(got, call(answer, shape, 7)):
            raise Wrong("Two calls with the same seed differ.")
        if torch.equal(got, call(answer, shape, 8)):
            raise Wrong("Two different seeds give the same numbers.")
        if not untouched:
            raise Wrong(
                "The numbers repeat, but your function sets torch's global generator: "
                "all later draws repeat as well."
            )
        if shape == (4000,):
            if not (got.mean().abs() < 0.1 and (got.std() - 1).abs() < 0.1):
                raise Wrong(
                    "These numbers are not standard normal: "
                    "look at their mean and their standard deviation."
                )
    return "Same seed, same numbers, and nobody else's draws moved."
