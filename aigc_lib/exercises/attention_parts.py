"""More checks for the attention chapter: rotation, the softmax's slope, merging."""

import math

import torch

from aigc_lib.exercises.verdict import (
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)


def _turned(x, angle):
    pairs = torch.view_as_complex(x) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(pairs)


@exercise
def turn(answer):
    """answer(x, positions, theta): (T, 2), (T,), float -> (T, 2), each row turned."""
    for T, theta in [(5, 0.3), (1, 1.0), (2, -0.7), (6, 2.5)]:
        x, positions = torch.randn(T, 2), torch.randint(1, 9, (T,)) + torch.rand(T)
        got = call(answer, x, positions, theta)
        expect_shape(got, (T, 2), "one turned vector for each row")
        angle = positions * theta
        cos, sin = angle.cos(), angle.sin()
        a, b = x.unbind(1)
        slips = [
            (_turned(x, -angle), "You turn clockwise: one sign is the other way."),
            (
                _turned(x, torch.full_like(angle, theta)),
                "Every row is turned by theta: the angle grows with the position.",
            ),
            (_turned(x, positions.floor() * theta), "Positions need not be whole."),
            (_turned(x, angle * math.pi / 180), "theta is in radians, not degrees."),
            (
                torch.stack([a * cos - b * sin, b * cos - a * sin], 1),
                "The length of a row changes: look at the signs of both sines.",
            ),
            (
                torch.stack([a * cos + b * sin, a * sin + b * cos], 1),
                "The length of a row changes: look at the signs of both sines.",
            ),
            (
                torch.stack([a * cos, b * sin], 1),
                "Each new entry needs both old ones.",
            ),
        ]
        otherwise = "(1, 0) must become (cos, sin), and (0, 1) become (-sin, cos)."
        compare(got, _turned(x, angle), slips, otherwise)
    return "Lengths stay, and dot products see differences of positions."


@exercise
def backward(answer):
    """answer(alpha, g): two (T, S) -> (T, S), the gradient by the scores."""
    for T, S in [(3, 5), (1, 2), (4, 4), (2, 1)]:
        scores = torch.randn(T, S, requires_grad=True)
        alpha, g = scores.softmax(-1), torch.randn(T, S)
        (true,) = torch.autograd.grad(alpha, scores, g)
        alpha = alpha.detach()
        got = call(answer, alpha, g)
        expect_shape(got, (T, S), "one number for each score")
        dot = (alpha * g).sum(-1, keepdim=True)
        slips = [
            (
                alpha * (1 - alpha) * g,
                "You keep only i = j: each weight depends on every score of its row.",
            ),
            (alpha * (dot - g), "The sign is the other way round."),
            (
                alpha * (g - g.sum(-1, keepdim=True)),
                "The sum over i is weighted by alpha_i.",
            ),
            (
                alpha * (g - g.mean(-1, keepdim=True)),
                "The mean over i is weighted by alpha_i, not plain.",
            ),
            (
                alpha * (g - (alpha * g).mean(-1, keepdim=True)),
                "Sum alpha_i g_i over the row: the weights already make it a mean.",
            ),
            (
                alpha * (g - (alpha * g).sum(0, keepdim=True)),
                "You sum over the queries: sum along each row, over the keys.",
            ),
            (
                alpha * (g - (alpha * g).sum()),
                "You sum over all rows: each row has a softmax of its own.",
            ),
            (g - dot, "One factor alpha_j is missing."),
            (alpha * g, "The second term is missing: the weights sum to 1."),
        ]
        otherwise = "Each row must sum to 0. Write the sum over i, then simplify."
        compare(got, true, slips, otherwise)
    return "Each row sums to zero: scores only matter relative to each other."


@exercise
def merge(answer):
    """answer(o1, ell1, o2, ell2): two partial answers -> (T, hs), the whole one."""
    for T, hs, size in [(4, 3, 1.0), (1, 2, 1.0), (3, 3, 1.0), (5, 2, 400.0)]:
        s1, s2 = size * torch.randn(T, 6), size * torch.randn(T, 4)
        v1, v2 = torch.randn(6, hs), torch.randn(4, hs)
        o1, o2 = s1.softmax(-1) @ v1, s2.softmax(-1) @ v2
        ell1, ell2 = s1.logsumexp(-1), s2.logsumexp(-1)
        true = torch.cat([s1, s2], 1).softmax(-1) @ torch.cat([v1, v2])
        got = call(answer, o1, ell1, o2, ell2)
        expect_shape(got, (T, hs), "one answer for each query")
        expect_finite(got, "exp(ell) overflows: use the difference of the two.")
        share = torch.sigmoid(ell1 - ell2)[:, None]
        linear = (ell1 / (ell1 + ell2))[:, None]
        slips = [
            ((o1 + o2) / 2, "Both halves count equally: weigh them by their sums."),
            (o1 + o2, "The weights of both halves must sum to 1."),
            ((1 - share) * o1 + share * o2, "The two weights are exchanged."),
            (
                linear * o1 + (1 - linear) * o2,
                "ell is a logarithm: weigh by exp(ell), not by ell.",
            ),
            ((6 * o1 + 4 * o2) / 10, "You count keys: weigh by exp(ell)."),
        ]
        otherwise = "If one ell is far larger, its answer is the whole answer."
        compare(got, true, slips, otherwise)
    return "So the keys of one text can lie on several processors."
