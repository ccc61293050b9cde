"""Checks for the fifteen questions of the warm-up; each hint ends with the section that repairs the gap."""

import math

import torch
from torch.distributions import Normal

from aigc_lib.exercises.verdict import Wrong, call, expect_shape, same
from aigc_lib.exercises.warmup_networks import (
    batch_norm,
    change_of_variables,
    conv_size,
    cross_entropy,
    noise,
    softmax,
    transposed,
)
from aigc_lib.exercises.warmup_parts import compare, expect_finite, question

__all__ = [
    "pixels",
    "distances",
    "expectation",
    "log_density",
    "log_mixture",
    "kl",
    "slope",
    "scores",
    "softmax",
    "cross_entropy",
    "conv_size",
    "transposed",
    "batch_norm",
    "change_of_variables",
    "noise",
]


@question("Tensors and shapes")
def pixels(answer):
    """answer(images): (B, C, H, W) -> (B, H * W, C), one row per pixel, in reading order."""
    for b, c, h, w in [(2, 3, 4, 5), (1, 2, 3, 2), (3, 4, 2, 2)]:
        x = torch.randn(b, c, h, w)
        got = call(answer, x)
        if c != h * w and got.shape == (b, c, h * w):
            raise Wrong("Your channels come before your pixels: each row should be one pixel.")
        expect_shape(got, (b, h * w, c), "one row per pixel")
        slips = [
            (x.reshape(b, h * w, c), "The shape is right, but the numbers of different pixels are mixed in each row."),
            (x.permute(0, 3, 2, 1).flatten(1, 2), "You run down the columns: reading order goes along the rows."),
        ]
        compare(got, x.flatten(2).transpose(1, 2), slips, "Row i should hold the C numbers of pixel i and no others.")
    return "Every Transformer on images begins like this."


@question("Tensors and shapes")
def distances(answer):
    """answer(a, b): (N, D), (M, D) -> (N, M), squared distances between all pairs of rows."""
    for n, m, d in [(4, 3, 2), (1, 5, 3), (3, 2, 4)]:
        a, b = torch.randn(n, d), torch.randn(m, d)
        gaps = a[:, None] - b
        got = call(answer, a, b)
        if n != m and got.shape == (m, n):
            raise Wrong(f"Your result has shape ({m}, {n}): the rows belong to a, so it should be ({n}, {m}).")
        expect_shape(got, (n, m), "one number per pair")
        slips = [
            (gaps.norm(dim=2), "These are the distances: the question asks for their squares."),
            (gaps.abs().sum(2), "You add absolute differences: a squared distance adds squares."),
            ((gaps**2).mean(2), "You average over the D coordinates: a squared distance is their sum."),
            (gaps.sum(2) ** 2, "Square first, then sum."),
        ]
        compare(got, (gaps**2).sum(2), slips, "Entry (i, j) should compare row i of a with row j of b.")
    return "One line, no loop."


@question("Expectation")
def expectation(answer):
    """answer(f, draws): (N,) -> (), the estimate of E[f(x)] from draws of x."""
    for f, n in [(torch.square, 50), (torch.exp, 7), (torch.cos, 20)]:
        x = torch.randn(n) + 0.5
        got = call(answer, f, x)
        expect_shape(got, (), "one number, the estimate")
        slips = [
            (f(x.mean()), "You apply f to the mean: E[f(x)] and f(E[x]) differ unless f is a straight line."),
            (f(x).sum(), "You add the values up: an expectation is an average."),
            (x.mean(), "Where does f come in? This estimates E[x]."),
            (f(x).median(), "This is the median, which is another summary than the expectation."),
        ]
        compare(got, f(x).mean(), slips, "Try f = torch.square and the draws -1 and 1: the estimate is 1.")
    return "More draws make it more certain: the error shrinks like 1 / √N."


@question("Log-density")
def log_density(answer):
    """answer(x, mu, logvar): three (B, D) -> (B,), log N(x; mu, diag(exp(logvar)))."""
    for shape in [(4, 3), (1, 5), (6, 2)]:
        x, mu, logvar = torch.randn(3, *shape)
        each = Normal(mu, (0.5 * logvar).exp()).log_prob(x)
        got = call(answer, x, mu, logvar)
        if got.shape == shape:
            raise Wrong("You return one value per dimension: what happens to the logs of factors that multiply?")
        expect_shape(got, shape[:1], "one value per row")
        true, half_log_2pi = each.sum(1), 0.5 * math.log(2 * math.pi)
        slips = [
            (-true, "The sign is the other way round."),
            (true.exp(), "This is the density: the question asks for its logarithm."),
            (each.mean(1), "You average over the dimensions: the log of a product of densities is a sum."),
            (true + shape[1] * half_log_2pi, "The constant with 2π is missing: this density does not integrate to 1."),
            (true + (0.5 * logvar).sum(1), "A wide Gaussian is lower at its peak: the term for its width is missing."),
            (Normal(mu, logvar.exp()).log_prob(x).sum(1), "exp(logvar) is the variance, not the standard deviation."),
        ]
        compare(got, true, slips, "Compare with Normal(0, 1).log_prob(x), then change mu and logvar one at a time.")
    return "This sum stands inside most losses of the course."


@question("Log-density")
def log_mixture(answer):
    """answer(log_w, log_p): (K,), (B, K) -> (B,), the log of the weighted sum of K densities."""
    for b, k, shift in [(5, 3, 0.0), (2, 4, 0.0), (3, 2, -1000.0)]:
        log_w, log_p = torch.randn(k).log_softmax(0), 2 * torch.randn(b, k) + shift
        true = torch.logsumexp(log_w + log_p, 1)
        got = call(answer, log_w, log_p)
        expect_shape(got, (b,), "one value per row")
        slips = [
            (torch.logsumexp(log_p, 1), "The weights are missing."),
            ((log_w.exp() * log_p).sum(1), "This is the average of the logs: asked is the log of the average."),
            ((log_w + log_p).sum(1), "You multiply the densities: a mixture adds them."),
            (true.exp(), "This is the density: the question asks for its logarithm."),
        ]
        if shift:
            expect_finite(got, "Around exp(-1000) a density is too small for a float: never leave the log scale.")
        compare(got, true, slips, "With one component and weight 1, the result is that component's log-density.")
    return "It survives densities that no float can hold."


@question("KL divergence")
def kl(answer):
    """answer(p, q): two (B, K) of positive probabilities -> (B,), KL(p || q) in nats."""
    for b, k in [(4, 3), (1, 5), (3, 2)]:
        p, q = torch.randn(2, b, k).mul(1.5).softmax(2)
        true = (p * (p / q).log()).sum(1)
        got = call(answer, p, q)
        if got.shape == (b, k):
            raise Wrong("You return one value per outcome: a KL divergence is one number per pair of distributions.")
        expect_shape(got, (b,), "one value per row")
        slips = [
            ((q * (q / p).log()).sum(1), "This is KL(q || p): the two directions differ. Who does the averaging?"),
            (-true, "The sign is the other way round: a KL divergence is never negative."),
            (-(p * q.log()).sum(1), "This is the cross-entropy: it is not zero for p = q."),
            (true / math.log(2), "This is in bits: the question asks for nats."),
            (true / k, "You divide by the number of outcomes: p is already the average's weight."),
            ((p / q).log().sum(1), "Each log ratio counts as often as p draws its outcome: the weights are missing."),
        ]
        compare(got, true, slips, "For p = q it must be 0, and positive otherwise.")
    return "Zero for p = q, positive for everything else."


@question("Gradients and detach")
def slope(answer):
    """answer(f, x): f works elementwise, x is (N,) -> (N,), the derivative of f at each entry."""
    for f, n in [(torch.sin, 5), (lambda x: x**3, 2), (torch.sigmoid, 4)]:
        x = torch.randn(n)
        at = x.clone().requires_grad_()
        (true,) = torch.autograd.grad(f(at).sum(), at)
        got = call(answer, f, x.clone())
        expect_shape(got, (n,), "one slope per entry")
        slips = [
            (true / n, "Your slopes are N times too small: which scalar did you differentiate?"),
            (true.sum().expand(n), "Each entry has a slope of its own."),
            (f(x), "These are the values of f, not its slopes."),
            (-true, "The sign is the other way round."),
        ]
        compare(got, true, slips, "Test it with f = torch.square: the slope at 3 is 6.")
    return "No formula for the derivative was needed."


@question("Gradients and detach")
def scores(answer):
    """answer(critic, make, z): the critic's scores of make(z); gradients reach the critic and not make."""
    for b in (4, 1):
        critic, make, z = torch.nn.Linear(4, 1), torch.nn.Linear(3, 4), torch.randn(b, 3)
        true = critic(make(z))
        got = call(answer, critic, make, z)
        if got.shape == (b, 4) and same(got, make(z)):
            raise Wrong("These are the images: let the critic score them.")
        expect_shape(got, (b, 1), "one score per row of z")
        compare(got, true, [], "The scores are off: they should be those of critic(make(z)).")
        if not (make.weight.requires_grad and critic.weight.requires_grad):
            raise Wrong("You froze a network for good: only this one path should carry no gradient.")
        if not got.requires_grad:
            raise Wrong("The scores are right, but no gradient reaches the critic: you cut the path too late.")
        reached = torch.autograd.grad(got.sum(), (critic.weight, make.weight), allow_unused=True)
        if reached[0] is None:
            raise Wrong("The scores are right, but no gradient reaches the critic.")
        if reached[1] is not None:
            raise Wrong("The scores are right, but a gradient reaches the network that made the images.")
    return "A GAN's critic is trained like this."
