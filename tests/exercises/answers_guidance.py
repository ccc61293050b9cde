"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the guidance chapter."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises import guidance as check
from aigc_lib.sample.guidance import by_classifier, guided, thresholded

__all__ = ["RIGHT", "WRONG", "check"]


def hidden(y, share, none, rng):
    return torch.where(torch.rand(len(y), generator=rng) < share, none, y)


def hidden_in_place(y, share, none, rng):
    y[torch.rand(len(y), generator=rng) < share] = none
    return y


def hidden_by_bernoulli(y, share, none, rng):
    mask = torch.bernoulli(torch.full(y.shape, share), generator=rng).bool()
    return y.masked_fill(mask, none)


def by_library(cond, uncond, w):
    return guided(lambda x, t: cond, lambda x, t: uncond, w + 1)(cond, torch.zeros(len(cond)).long())


def cut_by_library(x0, share):
    return thresholded(lambda x, t: x0, share)(x0, torch.zeros(len(x0)).long())


def cut_by_loop(x0, share):
    images = []
    for image in x0:
        s = max(1.0, torch.quantile(image.abs().flatten(), share).item())
        images.append(image.clamp(-s, s) / s)
    return torch.stack(images)


def wishes_by_loop(plain, wishes, weights):
    total = plain.clone()
    for weight, wish in zip(weights, wishes, strict=True):
        total += weight * (wish - plain)
    return total


def wishes_in_turn(plain, wishes, weights):
    for weight, wish in zip(weights, wishes, strict=True):
        plain = plain + weight * (wish - plain)
    return plain


def tilted_by_parabola(m, s2, S2, w):
    # The exponent is -a x^2 / 2 + b x: its peak is at b / a.
    a, b = w / s2 + (1 - w) / S2, w * m / s2
    return torch.stack([b / a, 1 / a])


def tilted_by_grid(m, s2, S2, w):
    x = torch.linspace(-60, 60, 60_001).double()[:, None]
    log = -w * (x - m) ** 2 / (2 * s2) - (1 - w) * x**2 / (2 * S2)
    p = log.softmax(0)
    mean = (p * x).sum(0)
    return torch.stack([mean, (p * (x - mean) ** 2).sum(0)])


def precision(s2, S2, w):
    return w / s2 - (w - 1) / S2


def push_by_loss(classifier, x, t, y, reduction="sum", sign=-1):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(classifier(x, t), y, reduction=reduction)
        (gradient,) = torch.autograd.grad(sign * loss, x)
    return gradient


def noise_by_loss(eps, classifier, x, t, y, w, a, **how):
    return eps - w * (1 - a).sqrt() * push_by_loss(classifier, x, t, y, **how)


def noise_by_backward(eps, classifier, x, t, y, w, a):
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        classifier(x, t).log_softmax(1)[torch.arange(len(y)), y].sum().backward()
    return eps - w * torch.sqrt(1 - a) * x.grad


def noise_by_images(eps, classifier, x, t, y, w, a):
    rows = [push_by_loss(classifier, x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    return eps - w * (1 - a).sqrt() * torch.cat(rows)


def noise_by_score(eps, classifier, x, t, y, w, a):
    score = -eps / (1 - a).sqrt() + w * push_by_loss(classifier, x, t, y)
    return -(1 - a).sqrt() * score


def noise_by_library(eps, classifier, x, t, y, w, a):
    alpha_bar = torch.linspace(0.9, 0.1, 20).double()
    found = by_classifier(lambda x, t: torch.zeros_like(x), classifier, y, 1.0, alpha_bar)(x, t)
    here = alpha_bar[t].float().view_as(a)
    return eps - w * (1 - a).sqrt() * found * here.sqrt() / (1 - here)


def noise_through(eps, classifier, x, t, y, w, a, value):
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        push = torch.autograd.grad(value(classifier(x, t), y).sum(), x)[0]
    return eps - w * (1 - a).sqrt() * push


def noise_with(factor):
    """The answer with another factor of the gradient, (w, a) -> factor."""
    return lambda eps, c, x, t, y, w, a: eps + factor(w, a) * push_by_loss(c, x, t, y)


def own(table, y):
    return table.gather(1, y[:, None])


def errors(denoise, x0, xt, t, K):
    """(K, S, B)"""
    found = []
    for c in range(K):
        y = torch.full((len(x0),), c)
        found.append(
            torch.stack([(denoise(n, s, y) - x0).square().flatten(1).mean(1) for n, s in zip(xt, t, strict=True)])
        )
    return torch.stack(found)


def classified_at_once(denoise, x0, xt, t, K):
    s, b = t.shape
    total = []
    for c in range(K):
        guess = denoise(xt.flatten(0, 1), t.flatten(), torch.full((s * b,), c)).view_as(xt)
        total.append((guess - x0).square().flatten(2).sum(2).sum(0))
    return torch.stack(total, 1).argmin(1)


RIGHT = {
    "other_convention": [
        lambda c, u, w: (1 + w) * c - w * u,
        lambda c, u, w: torch.lerp(u, c, 1 + w),
        by_library,
    ],
    "hide_labels": [hidden, hidden_in_place, hidden_by_bernoulli],
    "several_wishes": [
        lambda p, ws, k: (1 - k.sum()) * p + torch.einsum("k,k...->...", k, ws),
        wishes_by_loop,
    ],
    "threshold": [cut_by_library, cut_by_loop],
    "tilted": [tilted_by_parabola, tilted_by_grid],
    "classifier_noise": [noise_by_loss, noise_by_backward, noise_by_images, noise_by_score, noise_by_library],
    "classify": [lambda *args: errors(*args).mean(1).argmin(0), classified_at_once],
}

WRONG = {
    "other_convention": [
        (lambda c, u, w: u + w * (c - u), "diffusers"),
        (lambda c, u, w: (1 + w) * u - w * c, "swapped"),
        (lambda c, u, w: c - w * (c - u), "sign"),
        (lambda c, u, w: u + (w - 1) * (c - u), "larger number"),
        (lambda c, u, w: (1 + w) * c + w * u, "add up to 1"),
        (lambda c, u, w: c, "w = 0"),
        (lambda c, u, w: ((1 + w) * c - w * u).sum(1), "shape"),
    ],
    "hide_labels": [
        (lambda y, s, n, g: torch.where(torch.rand(len(y), generator=g) > s, n, y), "keep a share"),
        (lambda y, s, n, g: torch.where(torch.rand(1, generator=g) < s, n, y), "one fate|keep|hidden"),
        (lambda y, s, n, g: torch.where(torch.rand(len(y), generator=g) < s, 0, y), "becomes `none`"),
        (lambda y, s, n, g: torch.where(torch.rand(len(y), generator=g) < s, 10, y), "is an argument"),
        (lambda y, s, n, g: torch.where(torch.rand(len(y)) < s, n, y), "two results"),
        (lambda y, s, n, g: torch.where(torch.arange(len(y)) % 5 == 0, n, y), "Another generator"),
        (lambda y, s, n, g: torch.where(torch.rand(len(y), generator=g) < 0.1, n, y), "asked for"),
        (lambda y, s, n, g: torch.where(torch.rand(len(y), generator=g) < 0.2, n, y), "share of 0"),
        (lambda y, s, n, g: hidden(y, s, n, g).float(), "int64"),
        (lambda y, s, n, g: y[torch.rand(len(y), generator=g) >= s], "one class per image"),
    ],
    "several_wishes": [
        (lambda p, ws, k: p + torch.einsum("k,k...->...", k, ws), "the wishes themselves"),
        (lambda p, ws, k: wishes_by_loop(p, ws, k / len(k)), "average|weights"),
        (lambda p, ws, k: wishes_by_loop(p, ws, k) - p, "start is missing"),
        (lambda p, ws, k: wishes_by_loop(p, ws, -k), "sign"),
        (lambda p, ws, k: torch.einsum("k,k...->...", k, ws), "change the scale"),
        (lambda p, ws, k: wishes_by_loop(p, ws, k / k.sum()), "free"),
        (wishes_in_turn, "all start at"),
        (lambda p, ws, k: p, "off"),
        (lambda p, ws, k: k.view(-1, *[1] * p.ndim) * (ws - p), "shape"),
    ],
    "threshold": [
        (lambda x, s: x / check_bound(x, s), "do not cut"),
        (lambda x, s: x.clamp(-1, 1), "lose what is large"),
        (lambda x, s: x.clamp(-check_bound(x, s), check_bound(x, s)), "do not divide"),
        (lambda x, s: cut_by_loop(x[None], s)[0], "whole batch"),
        (lambda x, s: (x / check_bound(x, s, least=0)).clamp(-1, 1), "never less than 1"),
        (lambda x, s: cut(x, x.flatten(1).quantile(s, dim=1).clamp(min=1)), r"\|x0\|"),
        (lambda x, s: cut(x, x.flatten(1).abs().amax(1).clamp(min=1)), "single pixel"),
        (lambda x, s: x.tanh(), "unchanged"),
        (lambda x, s: x.flatten(1), "shape|unchanged|do not"),
    ],
    "tilted": [
        (lambda m, s, S, w: torch.stack([w * m / s / precision(s, S, w), precision(s, S, w)]), "holds the precision"),
        (
            lambda m, s, S, w: torch.stack([w * m / s / precision(s, S, w), precision(s, S, w) ** -0.5]),
            "standard deviation",
        ),
        (
            lambda m, s, S, w: torch.stack([w * m / s / (w / s + (w - 1) / S), 1 / (w / s + (w - 1) / S)]),
            "subtracted",
        ),
        (lambda m, s, S, w: torch.stack([m, 1 / precision(s, S, w)]), "complete the square"),
        (lambda m, s, S, w: torch.stack([w * m, 1 / precision(s, S, w)]), "weighted by precisions"),
        (
            lambda m, s, S, w: torch.stack([w * m / s / precision(s, S, w), s * (s / S) ** (w - 1)]),
            "guided sampling",
        ),
        (lambda m, s, S, w: tilted_by_parabola(m, s, S, w).T, "swapped"),
        (lambda m, s, S, w: tilted_by_parabola(m, s, S, w + 1), "off"),
        (lambda m, s, S, w: tilted_by_parabola(m, s, S, w)[0], "shape"),
    ],
    "classifier_noise": [
        (noise_with(lambda w, a: w * (1 - a).sqrt()), "A sign: the score"),
        (lambda *args: noise_by_loss(*args, reduction="mean"), "average over the batch"),
        (lambda *args: noise_by_loss(*args, reduction="mean", sign=1), "cross_entropy"),
        (noise_with(lambda w, a: -w), "factor of the gradient is missing"),
        (noise_with(lambda w, a: -w * (1 - a)), "squared"),
        (noise_with(lambda w, a: w * (1 - a) / a.sqrt()), "step of x0"),
        (lambda eps, *args: noise_by_loss(0 * eps, *args), "replace it"),
        (lambda *args: noise_through(*args, lambda o, y: own(o.softmax(1), y)), "its logarithm"),
        (lambda *args: noise_through(*args, lambda o, y: own(o.softmax(1).log(), y)), "log_softmax"),
        (lambda *args: noise_through(*args, own), "of the logit"),
        (lambda *args: noise_through(*args, lambda o, y: o.log_softmax(1).amax(1)), "most probable"),
        (lambda e, c, x, t, y, w, a: noise_by_loss(e, c, x, 0 * t, y, w, a), "Two parts"),
        (noise_with(lambda w, a: -(1 - a).sqrt()), "Two parts"),
        (lambda e, c, x, t, y, w, a: torch.autograd.grad(F.cross_entropy(c(x, t), y), x)[0], "raised"),
        (lambda *args: noise_by_loss(*args).flatten(1).sum(1), "shape"),
    ],
    "classify": [
        (lambda *a: errors(*a).mean(1).argmax(0), "largest"),
        (lambda *a: errors(*a)[:, 0].argmin(0), "one noisy version"),
        (lambda *a: errors(*a).mean((1, 2)).argmin().expand(len(a[1])), "one class"),
        (lambda *a: F.one_hot(errors(*a).argmin(0), a[-1]).sum(0).argmax(1), "one vote"),
        (lambda *a: errors(*a).mean(1), "shape"),
        (lambda *a: errors(*a).mean(1).argmin(0).float(), "floats"),
        (lambda d, x0, xt, t, K: d(x0, t, torch.zeros(len(x0))), "raised"),
    ],
}


def check_bound(x0, share, least=1.0):
    bound = x0.flatten(1).abs().quantile(share, dim=1).clamp(min=least)
    return bound.view(-1, *[1] * (x0.ndim - 1))


def cut(x0, bound):
    bound = bound.view(-1, *[1] * (x0.ndim - 1))
    return x0.clamp(-bound, bound) / bound
