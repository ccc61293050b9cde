"""Checks for the exercises of the chapter on the GAN family."""

import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib import losses
from aigc_lib.exercises.gan_family_layers import label_planes, modulated_conv, truncate
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    expect_trainable,
    same,
)

__all__ = [
    "hinge",
    "wasserstein_1d",
    "gradient_penalty",
    "largest_singular_value",
    "label_planes",
    "modulated_conv",
    "truncate",
]


@exercise
def hinge(answer):
    """answer(real, fake): logits (B,), (M,) -> (), the discriminator's hinge loss."""
    for b, m in [(6, 6), (3, 8)]:
        real, fake = 2 * torch.randn(b), 2 * torch.randn(m)
        far = torch.tensor([40.0, -4.0])  # far beyond the margin, and short
        real[:2], fake[:2] = far, -far
        got = call(answer, real, fake)
        expect_shape(got, (), "one number for the batch")
        true = losses.hinge_loss(real, fake)
        slips = [
            (
                losses.hinge_loss(fake, real),
                "Real and fake are swapped: a real sample should score above +1, "
                "a fake below -1.",
            ),
            (
                F.relu(1 - real.mean()) + F.relu(1 + fake.mean()),
                "You cut the average: cut each sample's cost at 0, then average.",
            ),
            (
                (1 - real).mean() + (1 + fake).mean(),
                "Nothing is cut off: a sample beyond its margin costs 0, not less.",
            ),
            (
                F.relu(-real).mean() + F.relu(fake).mean(),
                "The margin is missing: the cost starts at a score of 1, not at 0.",
            ),
            (true / 2, "You average the two halves; the loss is their sum."),
        ]
        hint = "A real score of 0 costs 1, of -3 costs 4; a fake one of 3 costs 4."
        compare(got, true, slips, hint)
    return (
        "Samples beyond the margin give no gradient: "
        "D stops pushing what it has won already."
    )


@exercise
def wasserstein_1d(answer):
    """answer(a, b): two (N,) samples -> (), the Wasserstein-1 distance between them."""
    for n in (5, 1, 40):
        a, b = torch.randn(n), 2 * torch.randn(n) + 0.3
        got = call(answer, a, b)
        expect_shape(got, (), "one distance")
        gaps = a.sort().values - b.sort().values
        true = gaps.abs().mean()
        slips = [
            (
                (a - b).abs().mean(),
                "You pair the samples as they come: "
                "the cheapest pairing joins them in sorted order.",
            ),
            (
                (a.mean() - b.mean()).abs(),
                "You move the means only: "
                "two sets with equal means can still lie far apart.",
            ),
            (
                a.mean() - b.mean(),
                "You move the means only: "
                "two sets with equal means can still lie far apart.",
            ),
            (
                b.mean() - a.mean(),
                "You move the means only: "
                "two sets with equal means can still lie far apart.",
            ),
            (true * n, "You sum the work: each sample carries a share of 1/N."),
            (
                gaps.square().mean().sqrt(),
                "That is the Wasserstein-2 distance: W1 takes absolute differences.",
            ),
        ]
        hint = "A set moved by 3 must be at distance 3 from itself."
        compare(got, true, slips, hint)
    return "In one dimension sorting solves the transport problem."


@exercise
def gradient_penalty(answer):
    """answer(critic, real, fake, u): (B, 2) twice, (B, 1) -> (), the WGAN-GP penalty,
    with a graph."""
    for b in (5, 3):
        net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
        real, fake, u = torch.randn(b, 2) + 1, torch.randn(b, 2) - 1, torch.rand(b, 1)
        got = call(answer, net, real, fake, u)
        expect_shape(got, (), "one number: the mean over the batch")
        true = losses.gradient_penalty(net, real, fake, u[:, 0])
        if same(got, true):
            expect_trainable(got, true, net[0].weight)
            continue
        if same(got, losses.gradient_penalty(net, fake, real, u[:, 0])):
            raise Wrong("u belongs to real, 1 - u to fake.")
        x = (u * real + (1 - u) * fake).requires_grad_()
        slopes = torch.autograd.grad(net(x).sum(), x)[0]
        length, length2 = slopes.norm(dim=1), slopes.square().sum(1)
        if same(got, length2.mean()) or same(got, length.mean()):
            raise Wrong("The target is a slope of length 1, not 0: (|slope| - 1)^2.")
        if same(got, (slopes.norm() - 1).square()):
            raise Wrong(
                "You take one length for the whole batch: each sample has its own."
            )
        if same(got, (length2 - 1).square().mean()):
            raise Wrong("You compare the squared length with 1: take the length.")
        if same(got, (length / b - 1).square().mean()):
            raise Wrong(
                "You differentiate the mean of the scores, "
                "which shrinks each slope by B: use the sum."
            )
        raise Wrong(
            "The value is off. Per sample (|slope| - 1)^2, "
            "at the point that the given u picks; then the mean."
        )
    return (
        "It asks for slope 1 along lines between real and fake; "
        "everywhere else it asks for nothing."
    )


@exercise
def largest_singular_value(answer):
    """answer(matrix, u, iterations): (O, I), (O,), int -> (), sigma after so many power
    iterations from u."""
    for shape, iterations in [((4, 6), 1), ((5, 3), 3), ((6, 6), 200)]:
        matrix, u = torch.randn(shape), F.normalize(torch.randn(shape[0]), dim=0)
        got = call(answer, matrix, u.clone(), iterations)
        expect_shape(got, (), "one singular value")
        expect_finite(
            got,
            "The result is inf or nan: "
            "bring u and v to length 1 in *every* iteration, or they grow.",
        )
        exact = torch.linalg.matrix_norm(matrix, 2)
        if iterations == 200:
            if torch.allclose(got.double(), exact.double(), rtol=1e-2):
                continue
            raise Wrong(
                "After many iterations the result is not the largest singular value."
            )
        x = u
        for _ in range(iterations):
            v = F.normalize(matrix.T @ x, dim=0)
            x = F.normalize(matrix @ v, dim=0)
        slips = [
            (
                exact,
                "That is the exact value: start at u and make just `iterations` steps.",
            ),
        ]
        hint = (
            "One iteration: v = W'u and u = W v, each brought to length 1; then u'Wv."
        )
        compare(got, x @ matrix @ v, slips, hint)
    return "One iteration per training step is enough, because the weight moves slowly."
