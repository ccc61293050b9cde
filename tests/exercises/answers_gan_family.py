"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the chapter on the GAN family."""

import torch
import torch.nn.functional as F

from aigc_lib import losses
from aigc_lib.exercises import gan_family as check
from aigc_lib.models.gan import label_planes
from aigc_lib.models.stylegan import modulated_conv2d

__all__ = ["RIGHT", "WRONG", "check"]


def w1(a, b):
    return (a.sort().values - b.sort().values).abs().mean()


def w1_by_cdf(a, b):
    """The area between the two empirical distribution functions."""
    places = torch.cat([a, b]).sort().values
    below = [(x[:, None] <= places[:-1]).float().mean(0) for x in (a, b)]
    return ((below[0] - below[1]).abs() * places.diff()).sum()


def slopes(critic, real, fake, u):
    x = (u * real + (1 - u) * fake).requires_grad_(True)
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]


def penalty_by_vmap(critic, real, fake, u):
    one = torch.func.grad(lambda sample: critic(sample[None])[0])
    return (torch.func.vmap(one)(fake + u * (real - fake)).norm(dim=1) - 1).pow(2).mean()


def iterate(matrix, u, iterations):
    for _ in range(iterations):
        v = F.normalize(matrix.T @ u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return u @ matrix @ v


def iterate_by_norm(matrix, u, iterations):
    for _ in range(iterations):
        v = matrix.T @ u / (matrix.T @ u).norm()
        u = matrix @ v / (matrix @ v).norm()
    return (matrix @ v).norm()


def planes_by_loop(x, y, classes):
    out = torch.zeros(len(x), x.shape[1] + classes, *x.shape[2:])
    out[:, : x.shape[1]] = x
    for row, label in enumerate(y):
        out[row, x.shape[1] + label] = 1
    return out


def conv_by_sample(x, weight, style):
    out = []
    for image, s in zip(x, style, strict=True):
        filters = weight * s[:, None, None]
        filters = filters / (filters.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out.append(F.conv2d(image[None], filters, padding=1))
    return torch.cat(out)


def conv_by_groups(x, weight, style):
    b, i, h, w = x.shape
    filters = weight[None] * style[:, None, :, None, None]
    filters = filters * torch.rsqrt(filters.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    out = F.conv2d(x.reshape(1, b * i, h, w), filters.flatten(0, 1), padding=1, groups=b)
    return out.reshape(b, -1, h, w)


def by_length_first(x, weight, style):
    filters = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
    return F.conv2d(x * style[:, :, None, None], filters, padding=1)


RIGHT = {
    "hinge": [
        lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
        lambda r, f: (1 - r).clamp(min=0).mean() - torch.minimum(torch.zeros(()), -1 - f).mean(),
    ],
    "wasserstein_1d": [w1, w1_by_cdf],
    "gradient_penalty": [
        lambda c, r, f, u: (slopes(c, r, f, u).norm(dim=1) - 1).square().mean(),
        penalty_by_vmap,
    ],
    "largest_singular_value": [iterate, iterate_by_norm],
    "label_planes": [label_planes, planes_by_loop],
    "modulated_conv": [conv_by_sample, conv_by_groups, modulated_conv2d],
    "truncate": [
        lambda w, m, p: m + p * (w - m),
        lambda w, m, p: torch.lerp(m.expand_as(w), w, p),
        lambda w, m, p: p * w + (1 - p) * m,
        lambda w, m, p: w.sub_(m).mul_(p).add_(m),
    ],
}

WRONG = {
    "hinge": [
        (lambda r, f: losses.hinge_loss(f, r), "swapped"),
        (lambda r, f: F.relu(1 - r.mean()) + F.relu(1 + f.mean()), "cut the average"),
        (lambda r, f: (1 - r).mean() + (1 + f).mean(), "cut off"),
        (lambda r, f: F.relu(-r).mean() + F.relu(f).mean(), "margin"),
        (lambda r, f: losses.hinge_loss(r, f) / 2, "sum"),
        (lambda r, f: F.softplus(1 - r).mean() + F.softplus(1 + f).mean(), "off"),
    ],
    "wasserstein_1d": [
        (lambda a, b: (a - b).abs().mean(), "sorted"),
        (lambda a, b: (a.mean() - b.mean()).abs(), "means only"),
        (lambda a, b: 2 * w1(a, b), "off"),
        (lambda a, b: (a.sort().values - b.sort().values).abs(), "shape"),
        (lambda a, b: (a.sort().values - b.sort().values).abs().sum(), "1/N"),
    ],
    "gradient_penalty": [
        (lambda c, r, f, u: losses.gradient_penalty(c, f, r, u[:, 0]), "1 - u to fake"),
        (lambda c, r, f, u: slopes(c, r, f, u).square().sum(1).mean(), "not 0"),
        (lambda c, r, f, u: (slopes(c, r, f, u).norm() - 1).square(), "its own"),
        (lambda c, r, f, u: (slopes(c, r, f, u).square().sum(1) - 1).square().mean(), "take the length"),
        (lambda c, r, f, u: (slopes(c, r, f, u).norm(dim=1) / len(r) - 1).square().mean(), "shrinks"),
        (lambda c, r, f, u: (slopes(c, r, f, u).norm(dim=1) - 1).square().mean().detach(), "no graph"),
        (lambda c, r, f, u: (slopes(c, r, f, u).norm(dim=1) - 1).mean(), "off"),
    ],
    "largest_singular_value": [
        (lambda m, u, n: torch.linalg.matrix_norm(m, 2), "exact value"),
        (lambda m, u, n: iterate(m, u, n + 1), "value is off"),
        (lambda m, u, n: iterate(m, u, n) ** 2, "value is off"),
        (lambda m, u, n: m.norm(), "off"),
    ],
    "label_planes": [
        (lambda x, y, k: torch.cat([label_planes(x, y, k)[:, x.shape[1] :], x], 1), "come first"),
        (lambda x, y, k: torch.cat([x, torch.zeros(len(x), k, *x.shape[2:])], 1), "planes are not"),
        (lambda x, y, k: torch.cat([x, y[:, None, None, None].expand(-1, 1, *x.shape[2:]).float()], 1), "shape"),
        (lambda x, y, k: label_planes(-x, y, k), "image itself"),
    ],
    "modulated_conv": [
        (lambda x, w, s: modulated_conv2d(x, w, s, demodulate=False), "Demodulation"),
        (lambda x, w, s: F.conv2d(x, w, padding=1), "no effect"),
        (by_length_first, "before"),
        (lambda x, w, s: F.conv2d(x, w), "shape"),
        (lambda x, w, s: 2 * modulated_conv2d(x, w, s), "off"),
    ],
    "truncate": [
        (lambda w, m, p: w + p * (m - w), "other way"),
        (lambda w, m, p: p * w, "towards 0"),
        (lambda w, m, p: p * w + m, "by the mean"),
        (lambda w, m, p: (m + p * (w - m)).mean(0), "shape"),
        (lambda w, m, p: m + p**2 * (w - m), "off"),
    ],
}
