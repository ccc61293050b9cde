"""Checks for the exercises of the chapter on the GAN family."""

import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib import losses
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    exercise,
    expect_shape,
    expect_trainable,
    same,
)
from aigc_lib.models.stylegan import modulated_conv2d


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
        if same(got, true):
            continue
        if same(got, losses.hinge_loss(fake, real)):
            raise Wrong(
                "Real and fake are swapped: a real sample should score above +1, "
                "a fake below -1."
            )
        if same(got, F.relu(1 - real.mean()) + F.relu(1 + fake.mean())):
            raise Wrong(
                "You cut the average: cut each sample's cost at 0, then average."
            )
        if same(got, (1 - real).mean() + (1 + fake).mean()):
            raise Wrong(
                "Nothing is cut off: a sample beyond its margin costs 0, not less."
            )
        if same(got, F.relu(-real).mean() + F.relu(fake).mean()):
            raise Wrong(
                "The margin is missing: the cost starts at a score of 1, not at 0."
            )
        if same(got, true / 2):
            raise Wrong("You average the two halves; the loss is their sum.")
        raise Wrong(
            "The value is off. A real score of 0 costs 1, of -3 costs 4; "
            "a fake one of 3 costs 4."
        )
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
        if same(got, true):
            continue
        if same(got, (a - b).abs().mean()):
            raise Wrong(
                "You pair the samples as they come: "
                "the cheapest pairing joins them in sorted order."
            )
        if same(got.abs(), (a.mean() - b.mean()).abs()):
            raise Wrong(
                "You move the means only: "
                "two sets with equal means can still lie far apart."
            )
        if same(got, true * n):
            raise Wrong("You sum the work: each sample carries a share of 1/N.")
        if same(got, gaps.square().mean().sqrt()):
            raise Wrong(
                "That is the Wasserstein-2 distance: W1 takes absolute differences."
            )
        raise Wrong(
            "The value is off. A set moved by 3 must be at distance 3 from itself."
        )
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
        if not torch.isfinite(got):
            raise Wrong(
                "The result is inf or nan: "
                "bring u and v to length 1 in *every* iteration, or they grow."
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
        if same(got, x @ matrix @ v):
            continue
        if same(got, exact):
            raise Wrong(
                "That is the exact value: start at u and make just `iterations` steps."
            )
        raise Wrong(
            "The value is off. One iteration: "
            "v = W'u and u = W v, each brought to length 1; then u'Wv."
        )
    return "One iteration per training step is enough, because the weight moves slowly."


@exercise
def label_planes(answer):
    """answer(x, y, classes): (B, C, H, W), (B,) int64 -> (B, C + classes, H, W)."""
    for b, c, s, classes in [(4, 1, 5, 10), (2, 3, 4, 3)]:
        x, y = torch.randn(b, c, s, s + 1), torch.randint(classes, (b,))
        got = call(answer, x, y, classes)
        why = "one plane per class behind the image's channels"
        expect_shape(got, (b, c + classes, s, s + 1), why)
        planes = torch.eye(classes)[y][:, :, None, None].expand(-1, -1, s, s + 1)
        if same(got, torch.cat([x, planes], 1)):
            continue
        if same(got, torch.cat([planes, x], 1)):
            raise Wrong("The planes come first: the image's own channels should.")
        if same(got[:, :c], x):
            raise Wrong(
                "The image is right; the planes are not: "
                "plane k is 1 everywhere where the label is k, else 0."
            )
        raise Wrong("The first channels should be the image itself, unchanged.")
    return "A convolution can now see the label at every place."


@exercise
def modulated_conv(answer):
    """answer(x, weight, style): (B, I, H, W), (O, I, 3, 3), (B, I) -> (B, O, H, W),
    demodulated."""
    for b, i, o in [(3, 4, 5), (2, 5, 5)]:
        x, weight = torch.randn(b, i, 6, 6), torch.randn(o, i, 3, 3)
        style = torch.randn(b, i) + 1
        got = call(answer, x, weight, style)
        expect_shape(got, (b, o, 6, 6), "same size as the input: padding 1")
        if same(got, modulated_conv2d(x, weight, style)):
            continue
        if same(got, modulated_conv2d(x, weight, style, demodulate=False)):
            raise Wrong(
                "Demodulation is missing: "
                "divide each output channel by the length of its scaled filter."
            )
        if same(got, modulated_conv2d(x, weight, style[:1].expand_as(style))):
            raise Wrong("All samples get the style of the first: each has its own.")
        unstyled = modulated_conv2d(x, weight, torch.ones_like(style))
        if same(got, F.conv2d(x, weight, padding=1)) or same(got, unstyled):
            raise Wrong("The style has no effect.")
        normed = F.normalize(weight.flatten(1), dim=1).reshape(weight.shape)
        if same(got, modulated_conv2d(x, normed, style, demodulate=False)):
            raise Wrong(
                "You bring the filters to length 1 *before* the style scales them: "
                "do it after, per sample."
            )
        raise Wrong(
            "The value is off. Try style = 1 everywhere: "
            "then each filter is divided by its own length."
        )
    return (
        "The scale of a style is taken out again: "
        "only the ratios between channels matter."
    )


@exercise
def truncate(answer):
    """answer(w, mean, psi): (B, D), (D,), float -> (B, D), w pulled towards mean."""
    for b, d, psi in [(3, 4, 0.7), (2, 2, 0.0), (4, 4, 1.0), (2, 3, 0.3)]:
        w, mean = torch.randn(b, d), torch.randn(d)
        got = call(answer, w, mean, psi)
        expect_shape(got, (b, d), "one w per row")
        if same(got, mean + psi * (w - mean)):
            continue
        if same(got, w + psi * (mean - w)):
            raise Wrong("psi runs the other way: 1 changes nothing, 0 gives the mean.")
        if same(got, psi * w):
            raise Wrong("You shrink towards 0: shrink towards the mean.")
        if same(got, psi * w + mean):
            raise Wrong("You move everything by the mean: psi = 1 must change nothing.")
        raise Wrong(
            "The value is off. psi = 1 gives w, psi = 0 gives the mean, "
            "in between a straight line."
        )
    return "Less variety for better pictures, by one number, after training."
