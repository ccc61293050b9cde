"""Checks for the fifteen questions of the warm-up.

Each hint ends with the section that repairs the gap.
"""

import torch

from aigc_lib.exercises.verdict import Wrong, call, compare, expect_shape, same
from aigc_lib.exercises.warmup_networks import (
    batch_norm,
    conv_size,
    cross_entropy,
    softmax,
    transposed,
)
from aigc_lib.exercises.warmup_parts import question
from aigc_lib.exercises.warmup_probability import (
    change_of_variables,
    expectation,
    kl,
    log_density,
    log_mixture,
    noise,
)

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
    """answer(images): (B, C, H, W) -> (B, H * W, C), one row per pixel, in reading
    order."""
    for b, c, h, w in [(2, 3, 4, 5), (1, 2, 3, 2), (3, 4, 2, 2)]:
        x = torch.randn(b, c, h, w)
        got = call(answer, x)
        if c != h * w and got.shape == (b, c, h * w):
            raise Wrong(
                "Your channels come before your pixels: each row should be one pixel."
            )
        expect_shape(got, (b, h * w, c), "one row per pixel")
        slips = [
            (
                x.reshape(b, h * w, c),
                "The shape is right, "
                "but the numbers of different pixels are mixed in each row.",
            ),
            (
                x.permute(0, 3, 2, 1).flatten(1, 2),
                "You run down the columns: reading order goes along the rows.",
            ),
        ]
        hint = "Row i should hold the C numbers of pixel i and no others."
        compare(got, x.flatten(2).transpose(1, 2), slips, hint)
    return "Every Transformer on images begins like this."


@question("Tensors and shapes")
def distances(answer):
    """answer(a, b): (N, D), (M, D) -> (N, M), squared distances of all row pairs."""
    for n, m, d in [(4, 3, 2), (1, 5, 3), (3, 2, 4)]:
        a, b = torch.randn(n, d), torch.randn(m, d)
        gaps = a[:, None] - b
        got = call(answer, a, b)
        if n != m and got.shape == (m, n):
            raise Wrong(
                f"Your result has shape ({m}, {n}): "
                f"the rows belong to a, so it should be ({n}, {m})."
            )
        expect_shape(got, (n, m), "one number per pair")
        roots = gaps.norm(dim=2)
        slips = [
            (roots, "These are the distances: the question asks for their squares."),
            (
                gaps.abs().sum(2),
                "You add absolute differences: a squared distance adds squares.",
            ),
            (
                (gaps**2).mean(2),
                "You average over the D coordinates: a squared distance is their sum.",
            ),
            (gaps.sum(2) ** 2, "Square first, then sum."),
        ]
        hint = "Entry (i, j) should compare row i of a with row j of b."
        compare(got, (gaps**2).sum(2), slips, hint)
    return "One line, no loop."


@question("Gradients and detach")
def slope(answer):
    """answer(f, x): elementwise f, x (N,) -> (N,), the slope of f at each entry."""
    for f, n in [(torch.sin, 5), (lambda x: x**3, 2), (torch.sigmoid, 4)]:
        x = torch.randn(n)
        at = x.clone().requires_grad_()
        (true,) = torch.autograd.grad(f(at).sum(), at)
        got = call(answer, f, x.clone())
        expect_shape(got, (n,), "one slope per entry")
        slips = [
            (
                true / n,
                "Your slopes are N times too small: "
                "which scalar did you differentiate?",
            ),
            (true.sum().expand(n), "Each entry has a slope of its own."),
            (f(x), "These are the values of f, not its slopes."),
            (-true, "The sign is the other way round."),
        ]
        compare(got, true, slips, "Test it with f = torch.square: the slope at 3 is 6.")
    return "No formula for the derivative was needed."


@question("Gradients and detach")
def scores(answer):
    """answer(critic, make, z): the critic's scores of make(z); gradients reach the
    critic and not make."""
    for b in (4, 1):
        critic, make = torch.nn.Linear(4, 1), torch.nn.Linear(3, 4)
        z = torch.randn(b, 3)
        true = critic(make(z))
        got = call(answer, critic, make, z)
        if got.shape == (b, 4) and same(got, make(z)):
            raise Wrong("These are the images: let the critic score them.")
        expect_shape(got, (b, 1), "one score per row of z")
        hint = "The scores are off: they should be those of critic(make(z))."
        compare(got, true, [], hint)
        if not (make.weight.requires_grad and critic.weight.requires_grad):
            raise Wrong(
                "You froze a network for good: "
                "only this one path should carry no gradient."
            )
        if not got.requires_grad:
            raise Wrong(
                "The scores are right, but no gradient reaches the critic: "
                "you cut the path too late."
            )
        weights = critic.weight, make.weight
        reached = torch.autograd.grad(got.sum(), weights, allow_unused=True)
        if reached[0] is None:
            raise Wrong("The scores are right, but no gradient reaches the critic.")
        if reached[1] is not None:
            raise Wrong(
                "The scores are right, "
                "but a gradient reaches the network that made the images."
            )
    return "A GAN's critic is trained like this."
