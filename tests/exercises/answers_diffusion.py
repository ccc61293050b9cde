"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the diffusion chapter."""

import math

import torch
import torch.nn.functional as F

from aigc_lib import diffusion
from aigc_lib.exercises import diffusion as check

__all__ = ["RIGHT", "WRONG", "check"]


def line(n, high, low):
    return torch.linspace(high, low, n)


def over(values):
    return values.view(-1, 1, 1, 1)


def keep(s, t, alpha_bar):
    return over(alpha_bar[t] / alpha_bar[s])


def jump_step_by_step(xs, s, t, eps, alpha_bar):
    """The mean step by step, and the variances added up on the way."""
    rows = []
    for x, first, last, noise in zip(xs, s.tolist(), t.tolist(), eps, strict=True):
        variance = 0.0
        for step in range(first + 1, last + 1):
            alpha = alpha_bar[step] / alpha_bar[step - 1]
            x, variance = alpha.sqrt() * x, alpha * variance + 1 - alpha
        rows.append(x + variance**0.5 * noise)
    return torch.stack(rows)


def step(xt, x0, t, z, alpha_bar, before_first=1.0, variance="beta", noise_at_0=False):
    before_all = torch.cat([torch.full_like(alpha_bar[:1], before_first), alpha_bar[:-1]])
    a, before = over(alpha_bar[t]), over(before_all[t])
    beta = 1 - a / before
    mean = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * xt) / (1 - a)
    scale = {"beta": beta.sqrt(), "tilde": ((1 - before) / (1 - a) * beta).sqrt(), "square": beta}[variance]
    return mean + (scale if noise_at_0 else scale * over(t > 0)) * z


def step_by_noise(xt, x0, t, z, alpha_bar):
    """Algorithm 2 of Ho et al., with the noise that x0 stands for, one picture at a time."""
    rows = []
    for x, clean, time, noise in zip(xt, x0, t.tolist(), z, strict=True):
        a, before = alpha_bar[time].item(), alpha_bar[time - 1].item() if time else 1.0
        alpha = a / before
        eps = (x - math.sqrt(a) * clean) / math.sqrt(1 - a)
        mean = (x - (1 - alpha) / math.sqrt(1 - a) * eps) / math.sqrt(alpha)
        rows.append(mean + math.sqrt(1 - alpha) * noise * (time > 0))
    return torch.stack(rows)


def step_with_index_minus_one(xt, x0, t, z, alpha_bar):
    a, before = over(alpha_bar[t]), over(alpha_bar[t - 1])
    beta = 1 - a / before
    mean = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * xt) / (1 - a)
    return mean + beta.clamp(min=0).sqrt() * z * over(t > 0)


def has(kind, snr):
    return {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1}[kind]


def cost(x0, guess, before, now):
    return 0.5 * (before - now) * (x0 - guess).square().flatten(1).sum(1)


def slope(log_q, xt, how=torch.sum):
    x = xt.detach().requires_grad_()
    return torch.autograd.grad(how(log_q(x)), x)[0]


def by_vmap(log_q, xt, a):
    one = torch.func.grad(lambda x: log_q(x[None])[0])
    return (xt + (1 - a) * torch.func.vmap(one)(xt)) / a**0.5


def by_rows(log_q, xt, a):
    rows = []
    for x in xt:
        x = x.clone()[None].requires_grad_()
        log_q(x).backward()
        rows.append((x.detach() + (1 - a) * x.grad)[0] / a**0.5)
    return torch.stack(rows)


def with_a_graph(log_q, xt, a):
    x = xt.clone().requires_grad_()
    return (x + (1 - a) * torch.autograd.grad(log_q(x).sum(), x, create_graph=True)[0]) / a**0.5


def squares(xt, a, data):
    return (xt[:, None] - math.sqrt(a) * data).square().sum(2)


def weights(xt, a, data, width=None):
    return (-squares(xt, a, data) / (2 * (1 - a) if width is None else width)).softmax(1)


def classes_by_logsumexp(xt, a, data, labels, K):
    exponent = -squares(xt, a, data) / (2 * (1 - a))
    each = [exponent[:, labels == k].logsumexp(1) for k in range(K)]
    return torch.stack(each, 1).softmax(1)


def classes_by_index_add(xt, a, data, labels, K):
    return torch.zeros(len(xt), K).index_add_(1, labels, weights(xt, a, data))


def classes_without_care(xt, a, data, labels, K):
    p = (-squares(xt, a, data) / (2 * (1 - a))).exp()
    return (p / p.sum(1, keepdim=True)) @ F.one_hot(labels, K).float()


def class_means(xt, a, data, labels, K):
    w = weights(xt, a, data)
    return torch.stack([w[:, labels == k].mean(1) for k in range(K)], 1)


RIGHT = {
    "log_snr_schedule": [
        lambda n, h, lo: line(n, h, lo).sigmoid(),
        lambda n, h, lo: 1 / (1 + torch.exp(-line(n, h, lo).double())),
        lambda n, h, lo: torch.stack([torch.tensor(h + (lo - h) * i / (n - 1)).sigmoid() for i in range(n)]),
    ],
    "jump": [
        lambda xs, s, t, e, ab: keep(s, t, ab).sqrt() * xs + (1 - keep(s, t, ab)).sqrt() * e,
        jump_step_by_step,
        lambda xs, s, t, e, ab: diffusion.q_sample(xs, torch.arange(len(s)), e, ab[t] / ab[s]),
    ],
    "v_to_eps": [
        lambda v, xt, a: (1 - a).sqrt() * xt + a.sqrt() * v,
        lambda v, xt, a: torch.stack([(1 - a).sqrt() * xt, a.sqrt() * v]).sum(0),
        lambda v, xt, a: torch.sin(torch.acos(a.sqrt())) * xt + torch.cos(torch.acos(a.sqrt())) * v,
    ],
    "step_back": [step, step_by_noise],
    "min_snr": [
        lambda kind, snr, g: torch.minimum(snr, torch.tensor(g)) / has(kind, snr),
        lambda kind, snr, g: snr.clamp(max=g) / {"eps": snr, "x0": 1.0, "v": snr + 1}[kind],
        lambda kind, snr, g: torch.where(snr < g, snr, g) / has(kind, snr),
    ],
    "bound_term": [
        lambda x, g, b, n: cost(x, g, b, n).mean(),
        lambda x, g, b, n: (over(b - n) * (x - g) ** 2).sum() / 2 / len(x),
    ],
    "denoiser_from_density": [
        lambda f, x, a: (x + (1 - a) * slope(f, x)) / a**0.5,
        by_vmap,
        by_rows,
    ],
    "class_posterior": [
        lambda x, a, d, y, K: weights(x, a, d) @ F.one_hot(y, K).float(),
        classes_by_logsumexp,
        classes_by_index_add,
    ],
}

WRONG = {
    "log_snr_schedule": [
        (lambda n, h, lo: line(n, h, lo).exp() / (1 + line(n, h, lo).exp()), "too large for 32 bits"),
        (lambda n, h, lo: line(n, h, lo), "log SNR itself"),
        (lambda n, h, lo: line(n, lo, h).sigmoid(), "the line rises"),
        (lambda n, h, lo: (-line(n, h, lo)).sigmoid(), "share of the noise"),
        (lambda n, h, lo: line(n, h, lo).sigmoid().sqrt(), "root of alpha_bar"),
        (lambda n, h, lo: (2 * line(n, h, lo)).sigmoid(), "square the SNR"),
        (lambda n, h, lo: (line(n, h, lo) / 2).sigmoid(), "root of the SNR"),
        (lambda n, h, lo: line(n + 1, h, lo)[:-1].sigmoid(), "Both ends"),
        (lambda n, h, lo: line(n + 1, h, lo)[1:].sigmoid(), "Both ends"),
        (lambda n, h, lo: torch.linspace(*line(2, h, lo).sigmoid().tolist(), n), "alpha_bar on a line"),
        (lambda n, h, lo: line(n, h, lo).sigmoid().cumprod(0), "signal and noise are equal"),
        (lambda n, h, lo: line(n + 1, h, lo).sigmoid(), "shape"),
    ],
    "jump": [
        (lambda xs, s, t, e, ab: diffusion.q_sample(xs, t, e, ab), "as if it were x_0"),
        (lambda xs, s, t, e, ab: keep(s, t, ab).sqrt() * xs + over(1 - ab[t]).sqrt() * e, "too much"),
        (
            lambda xs, s, t, e, ab: keep(s, t, ab).sqrt() * xs + (over(1 - ab[t]).sqrt() - over(1 - ab[s]).sqrt()) * e,
            "variances add up",
        ),
        (lambda xs, s, t, e, ab: keep(s, t, ab).sqrt() * xs + over(ab[s] - ab[t]).sqrt() * e, "shrunk on the way"),
        (lambda xs, s, t, e, ab: keep(s, t, ab) * xs + (1 - keep(s, t, ab)) * e, "multiplied by their roots"),
        (lambda xs, s, t, e, ab: (1 / keep(s, t, ab)).sqrt() * xs + (1 - 1 / keep(s, t, ab)).sqrt() * e, "negative"),
        (lambda xs, s, t, e, ab: keep(s, t, ab).sqrt() * xs, "variance 1"),
        (lambda xs, s, t, e, ab: (ab[t] / ab[s]).sqrt() * xs + (1 - ab[t] / ab[s]).sqrt() * e, "raised|width"),
        (lambda xs, s, t, e, ab: keep(s, t, ab).sqrt(), "shape"),
    ],
    "v_to_eps": [
        (lambda v, xt, a: a.sqrt() * xt - (1 - a).sqrt() * v, "That is x_0"),
        (lambda v, xt, a: a.sqrt() * v - (1 - a).sqrt() * xt, "sign"),
        (lambda v, xt, a: (1 - a).sqrt() * xt - a.sqrt() * v, "sign"),
        (lambda v, xt, a: a.sqrt() * xt + (1 - a).sqrt() * v, "exchanged"),
        (lambda v, xt, a: (1 - a) * xt + a * v, "Take roots"),
        (lambda v, xt, a: (xt - a.sqrt() * (a.sqrt() * xt - (1 - a).sqrt() * v)) / (1 - a).sqrt(), "divide by a root"),
        (lambda v, xt, a: (v + (1 - a).sqrt() * xt) / a.sqrt(), "divide by a root"),
        (lambda v, xt, a: v, "off"),
        (lambda v, xt, a: a.sqrt(), "shape"),
    ],
    "step_back": [
        (lambda *args: step(*args, noise_at_0=True), "add noise at t = 0"),
        (lambda *args: step(*args, variance="tilde"), "variance of the posterior"),
        (lambda *args: step(*args, variance="square"), "standard deviation is its root"),
        (lambda xt, x0, t, z, ab: step(xt, x0, t, 0 * z, ab), "no noise at all"),
        (lambda xt, x0, t, z, ab: step(x0, xt, t, z, ab), "exchanged"),
        (step_with_index_minus_one, r"alpha_bar\[-1\]"),
        (lambda *args: step(*args, before_first=0.999), "right where t > 0"),
        (lambda xt, x0, t, z, ab: xt - z, "Set z to zero"),
        (lambda *args: step(*args)[0], "shape"),
    ],
    "min_snr": [
        (lambda kind, snr, g: snr.clamp(max=g), "has a weight already"),
        (lambda kind, snr, g: snr.clamp(min=g) / has(kind, snr), "the smaller one"),
        (lambda kind, snr, g: snr / has(kind, snr), "no cap"),
        (lambda kind, snr, g: snr.clamp(max=g) * has(kind, snr), "you multiply"),
        (lambda kind, snr, g: snr.clamp(max=g) / has("eps", snr), "weights for 'eps'"),
        (lambda kind, snr, g: snr.clamp(max=g) / (snr if kind == "v" else has(kind, snr)), "weights for 'eps'"),
        (lambda kind, snr, g: (snr.clamp(max=g) / has(kind, snr)).mean(), "shape"),
        (lambda kind, snr, g: (snr / (snr + g)) / has(kind, snr), "min\\(SNR, gamma\\)"),
    ],
    "bound_term": [
        (lambda x, g, b, n: -cost(x, g, b, n).mean(), "sign"),
        (lambda x, g, b, n: 2 * cost(x, g, b, n).mean(), "factor of two"),
        (lambda x, g, b, n: cost(x, g, b, n), "one value per image|shape"),
        (lambda x, g, b, n: cost(x, g, b, n).mean() / x[0].numel(), "average over the pixels"),
        (lambda x, g, b, n: cost(x, g, 2 * n, n).mean(), "SNR at t alone"),
        (lambda x, g, b, n: cost(x, g, b, n).sum() + 0.1, "off"),
        (lambda x, g, b, n: (0.5 * (b - n) * (x - g).flatten(1).norm(dim=1)).mean(), "its square"),
    ],
    "denoiser_from_density": [
        (lambda f, x, a: slope(f, x), "That is the score"),
        (lambda f, x, a: (x - (1 - a) * slope(f, x)) / a**0.5, "sign of the score"),
        (lambda f, x, a: x + (1 - a) * slope(f, x), "the root of alpha_bar times"),
        (lambda f, x, a: (x + (1 - a) * slope(f, x)) / a, "Divide by the root"),
        (lambda f, x, a: (x + (1 - a) ** 0.5 * slope(f, x)) / a**0.5, "not to its root"),
        (lambda f, x, a: (x + (1 - a) * slope(f, x, torch.mean)) / a**0.5, "mean"),
        (with_a_graph, "graph hangs"),
        (lambda f, x, a: x, "among the data"),
        (lambda f, x, a: f(x), "shape"),
    ],
    "class_posterior": [
        (classes_without_care, "divide by their sum"),
        (class_means, "average the weights"),
        (lambda x, a, d, y, K: F.normalize(class_means(x, a, d, y, K), p=1), "average the weights"),
        (lambda x, a, d, y, K: weights(x, a, d, 1 - a) @ F.one_hot(y, K).float(), "a 2 in its denominator"),
        (lambda x, a, d, y, K: weights(x, a, d, 2.0) @ F.one_hot(y, K).float(), "Divide by the variance"),
        (
            lambda x, a, d, y, K: (-squares(x, 1.0, d) / (2 * (1 - a))).softmax(1) @ F.one_hot(y, K).float(),
            "shrunk",
        ),
        (lambda x, a, d, y, K: F.one_hot(y, K).float()[weights(x, a, d).argmax(1)], "all probability to the nearest"),
        (lambda x, a, d, y, K: (weights(x, a, d) @ F.one_hot(y, K).float()).T, "transposed|shape"),
        (lambda x, a, d, y, K: weights(x, a, d), "shape"),
        (lambda x, a, d, y, K: 2 * weights(x, a, d) @ F.one_hot(y, K).float(), "add up to 1"),
    ],
}
