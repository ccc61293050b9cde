"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the warm-up chapter."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.func import grad, vmap

from aigc_lib.exercises import warmup as check

__all__ = ["RIGHT", "WRONG", "check"]


def pixels_by_loop(x):
    return torch.stack([torch.stack([im[:, i, j] for i in range(im.shape[1]) for j in range(im.shape[2])]) for im in x])


def mixture_by_hand(log_w, log_p):
    high = (log_w + log_p).amax(1, keepdim=True)
    return high[:, 0] + (log_w + log_p - high).exp().sum(1).log()


def slope_by_backward(f, x):
    x.requires_grad_()
    f(x).backward(torch.ones_like(x))
    return x.grad


def made_without_a_graph(critic, make, z):
    with torch.no_grad():
        images = make(z)
    return critic(images)


def frozen(critic, make, z):
    make.requires_grad_(False)
    return critic(make(z))


def scored_without_a_graph(critic, make, z):
    with torch.no_grad():
        return critic(make(z))


def softmax_by_shift(x):
    e = (x - x.amax(1, keepdim=True)).exp()
    return e / e.sum(1, keepdim=True)


def softmax_in_place(x):
    x -= x.max(1, keepdim=True).values
    return x.exp_().div_(x.sum(1, keepdim=True))


def stamp(x, kernel, stride):
    out = torch.zeros(stride * (len(x) - 1) + len(kernel))
    for i, value in enumerate(x):
        out[i * stride : i * stride + len(kernel)] += value * kernel
    return out


def stamp_over(x, kernel, stride):
    out = torch.zeros(stride * (len(x) - 1) + len(kernel))
    for i, value in enumerate(x):
        out[i * stride : i * stride + len(kernel)] = value * kernel
    return out


def stamp_by_zeros(x, kernel, stride):
    spread = torch.zeros(stride * (len(x) - 1) + 1)
    spread[::stride] = x
    return F.conv1d(spread[None, None], kernel.flip(0)[None, None], padding=len(kernel) - 1)[0, 0]


def normed(x, eps, dims=(0, 2, 3), unbiased=False):
    var = x.var(dims, unbiased=unbiased, keepdim=True)
    return (x - x.mean(dims, keepdim=True)) / (var + eps).sqrt()


def batch_norm_by_numbers(x, eps):
    flat = x.transpose(0, 1).flatten(1)  # (C, B * H * W)
    mean, square = flat.double().mean(1), (flat.double() ** 2).mean(1)
    return ((x - mean[:, None, None]) / (square - mean**2 + eps)[:, None, None].sqrt()).float()


def forked(shape, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.randn(shape)


def seeded_globally(shape, seed):
    torch.manual_seed(seed)
    return torch.randn(shape)


def generator(seed):
    return torch.Generator().manual_seed(seed)


RIGHT = {
    "pixels": [
        pixels_by_loop,
        lambda x: x.permute(0, 2, 3, 1).reshape(len(x), -1, x.shape[1]),
        lambda x: torch.einsum("bchw->bhwc", x).flatten(1, 2),
    ],
    "distances": [
        lambda a, b: torch.cdist(a, b) ** 2,
        lambda a, b: (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T,
        lambda a, b: torch.stack([((row - b) ** 2).sum(1) for row in a]),
    ],
    "expectation": [
        lambda f, x: sum(f(v) for v in x) / len(x),
        lambda f, x: f(x) @ torch.full_like(x, 1 / len(x)),
        lambda f, x: f(x).mean(),
    ],
    "log_density": [
        lambda x, m, v: Independent(Normal(m, (v / 2).exp()), 1).log_prob(x),
        lambda x, m, v: -0.5 * (math.log(2 * math.pi) + v + (x - m) ** 2 / v.exp()).sum(1),
        lambda x, m, v: Normal(m.double(), v.double().exp().sqrt()).log_prob(x).exp().prod(1).log(),
        lambda x, m, v: -F.gaussian_nll_loss(m, x, v.exp(), full=True, reduction="none").sum(-1),
    ],
    "log_mixture": [
        mixture_by_hand,
        lambda w, p: torch.logsumexp(w + p, dim=-1),
        lambda w, p: torch.stack([torch.logaddexp(r[0], r[1]) if len(r) == 2 else r.logsumexp(0) for r in w + p]),
    ],
    "kl": [
        lambda p, q: kl_divergence(Categorical(p), Categorical(q)),
        lambda p, q: F.kl_div(q.log(), p, reduction="none").sum(1),
        lambda p, q: (p * p.log()).sum(1) - (p * q.log()).sum(1),
    ],
    "slope": [
        slope_by_backward,
        lambda f, x: vmap(grad(f))(x),
        lambda f, x: torch.autograd.functional.jacobian(f, x).diagonal(),
    ],
    "scores": [made_without_a_graph, lambda c, m, z: c(m(z).detach()), lambda c, m, z: c(m(z).clone().detach_())],
    "softmax": [softmax_by_shift, softmax_in_place, lambda x: x.log_softmax(-1).exp(), lambda x: F.softmax(x, dim=1)],
    "cross_entropy": [
        lambda x, y: F.nll_loss(x.log_softmax(1), y),
        lambda x, y: (x.logsumexp(1) - x.gather(1, y[:, None])[:, 0]).mean(),
        lambda x, y: -Categorical(logits=x).log_prob(y).mean(),
        lambda x, y: -(F.one_hot(y, x.shape[1]) * x.log_softmax(1)).sum() / len(x),
    ],
    "conv_size": [
        lambda n, k, s, p: len(range(-p, n + p - k + 1, s)),
        lambda n, k, s, p: F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p).shape[-1],
        lambda n, k, s, p: math.floor((n + 2 * p - k) / s + 1),
    ],
    "transposed": [
        stamp,
        stamp_by_zeros,
        lambda x, k, s: F.conv_transpose1d(x[None, None], k[None, None], stride=s).flatten(),
    ],
    "batch_norm": [
        normed,
        batch_norm_by_numbers,
        lambda x, eps: F.batch_norm(x, None, None, training=True, eps=eps),
        lambda x, eps: torch.nn.BatchNorm2d(x.shape[1], eps=eps)(x),
    ],
    "change_of_variables": [
        lambda f, y, a, b: f((y - b) / a) - torch.log(abs(a)),
        lambda f, y, a, b: f((y - b) / a) - 0.5 * torch.log(a**2),
        lambda f, y, a, b: (f((y - b) / a).exp() / a.abs()).log(),
        lambda f, y, a, b: f((y - b) / a) + math.log(abs(1 / a)),
    ],
    "noise": [
        forked,
        lambda shape, seed: torch.randn(shape, generator=generator(seed)),
        lambda shape, seed: torch.empty(shape).normal_(generator=generator(seed + 100)),
    ],
}

log_p = RIGHT["log_density"][1]
kl = RIGHT["kl"][2]
nll = RIGHT["cross_entropy"][0]
out = RIGHT["conv_size"][0]

WRONG = {
    "pixels": [
        (lambda x: x.reshape(len(x), -1, x.shape[1]), "mixed"),
        (lambda x: x.flatten(2), "channels come before"),
        (lambda x: x.permute(0, 3, 2, 1).flatten(1, 2), "down the columns"),
        (lambda x: x.flatten(1), "one row per pixel"),
        (lambda x: x.flatten(2).transpose(1, 2).flip(1), "Row i"),
        (lambda x: x.no_such_thing, "AttributeError"),
    ],
    "distances": [
        (lambda a, b: torch.cdist(a, b), "their squares"),
        (lambda a, b: torch.cdist(b, a) ** 2, "rows belong to a"),
        (lambda a, b: torch.cdist(a, b, p=1), "absolute"),
        (lambda a, b: ((a[:, None] - b) ** 2).mean(2), "average over the D"),
        (lambda a, b: (a[:, None] - b).sum(2) ** 2, "Square first"),
        (lambda a, b: (a - b) ** 2, "RuntimeError"),
        (lambda a, b: (a[:, None] - b) ** 2, "one number per pair"),
        (lambda a, b: a @ b.T, "Entry"),
    ],
    "expectation": [
        (lambda f, x: f(x.mean()), "f to the mean"),
        (lambda f, x: f(x).sum(), "add the values"),
        (lambda f, x: f(x), "one number"),
        (lambda f, x: x.mean(), "Where does f"),
        (lambda f, x: f(x).median(), "median"),
        (lambda f, x: f(x).sum() / (len(x) - 1), "off"),
        (lambda f, x: f(x).mean().item(), "float"),
    ],
    "log_density": [
        (lambda x, m, v: -log_p(x, m, v), "sign"),
        (lambda x, m, v: log_p(x, m, v).exp(), "its logarithm"),
        (lambda x, m, v: log_p(x, m, v) / x.shape[1], "average over the dim"),
        (lambda x, m, v: log_p(x, m, v).mean(), r"shape \(\)"),
        (lambda x, m, v: -0.5 * (v + (x - m) ** 2 / v.exp()).sum(1), "constant"),
        (lambda x, m, v: -0.5 * (math.log(2 * math.pi) + (x - m) ** 2 / v.exp()).sum(1), "width"),
        (lambda x, m, v: log_p(x, m, 2 * v), "variance"),
        (lambda x, m, v: Normal(m, (v / 2).exp()).log_prob(x), "factors that multiply"),
        (lambda x, m, v: log_p(x, v, m), "one at a time"),
    ],
    "log_mixture": [
        (lambda w, p: (w.exp() * p.exp()).sum(1).log(), "inf.*log scale"),
        (lambda w, p: p.logsumexp(1), "weights are missing"),
        (lambda w, p: (w.exp() * p).sum(1), "average of the logs"),
        (lambda w, p: (w + p).sum(1), "multiply the densities"),
        (lambda w, p: (w + p).logsumexp(1).exp(), "its logarithm"),
        (lambda w, p: (w + p).logsumexp(0), "one value per row"),
        (lambda w, p: (w + p).amax(1), "one component"),
    ],
    "kl": [
        (lambda p, q: kl(q, p), "two directions"),
        (lambda p, q: F.kl_div(p.log(), q, reduction="none").sum(1), "two directions"),
        (lambda p, q: -kl(p, q), "never negative"),
        (lambda p, q: -(p * q.log()).sum(1), "cross-entropy"),
        (lambda p, q: (p * (p / q).log2()).sum(1), "bits"),
        (lambda p, q: (p * (p / q).log()).mean(1), "number of outcomes"),
        (lambda p, q: (p / q).log().sum(1), "weights are missing"),
        (lambda p, q: kl(p, q).mean(), "one value per row"),
        (lambda p, q: p * (p / q).log(), "one value per outcome"),
        (lambda p, q: kl(p, q).sqrt(), "p = q"),
    ],
    "slope": [
        (lambda f, x: grad(lambda y: f(y).mean())(x), "N times too small"),
        (lambda f, x: f(x), "values of f"),
        (lambda f, x: -vmap(grad(f))(x), "sign"),
        (lambda f, x: vmap(grad(f))(x).sum().expand(len(x)), "slope of its own"),
        (lambda f, x: f(x).backward(), "RuntimeError"),
        (lambda f, x: vmap(grad(f))(x).sum(), "one slope per entry"),
        (lambda f, x: vmap(grad(f))(x) * x, "off"),
    ],
    "scores": [
        (lambda c, m, z: c(m(z)), "reaches the network that made"),
        (lambda c, m, z: c(m(z)).detach(), "too late"),
        (scored_without_a_graph, "too late"),
        (frozen, "froze"),
        (lambda c, m, z: m(z).detach(), "let the critic"),
        (lambda c, m, z: c(m(z).detach()).mean(), "one score per row"),
        (lambda c, m, z: -c(m(z).detach()), "off"),
        (lambda c, m, z: c(m(z.detach())), "reaches the network that made"),
    ],
    "softmax": [
        (lambda x: x.exp() / x.exp().sum(1, keepdim=True), "nan.*overflows"),
        (lambda x: (x - x.max()).exp() / (x - x.max()).exp().sum(1, keepdim=True), "nan"),
        (lambda x: x.softmax(0), "columns sum to one"),
        (lambda x: x.log_softmax(1), "logarithm"),
        (lambda x: x.exp(), "sum to one yet"),
        (lambda x: x.flatten().softmax(0).view_as(x), "All numbers together"),
        (lambda x: x.sigmoid(), "compete"),
        (lambda x: x / x.sum(1, keepdim=True), "negative"),
        (lambda x: x.argmax(1), "as the logits"),
        (lambda x: (2 * x).softmax(1), "proportion"),
    ],
    "cross_entropy": [
        (lambda x, y: -nll(x, y), "sign"),
        (lambda x, y: nll(x, y) * len(x), "sum over the batch"),
        (lambda x, y: F.cross_entropy(x.softmax(1), y), "applied twice"),
        (lambda x, y: -x.softmax(1).gather(1, y[:, None]).mean(), "logarithm is missing"),
        (lambda x, y: F.nll_loss(x, y), "raw logits"),
        (lambda x, y: -x.log_softmax(1)[:, y].mean(), "every row with every label"),
        (lambda x, y: -x.log_softmax(1).mean(), "all classes"),
        (lambda x, y: F.cross_entropy(x, y, reduction="none"), "average them"),
        (lambda x, y: F.nll_loss(x.softmax(1).log(), y), "rounds to zero"),
        (lambda x, y: F.nll_loss(x.log_softmax(0), y), "own label"),
    ],
    "conv_size": [
        (lambda n, k, s, p: (n + 2 * p - k) // s, "one short"),
        (lambda n, k, s, p: (n + p - k) // s + 1, "both ends"),
        (lambda n, k, s, p: n + 2 * p - k + 1, "stride is missing"),
        (lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1, "round up"),
        (lambda n, k, s, p: (n + 2 * p) // s, "width of the kernel"),
        (lambda n, k, s, p: (n - 1) * s - 2 * p + k, "transposed"),
        (lambda n, k, s, p: (n + 2 * p - k) / s + 1, "float"),
        (lambda n, k, s, p: (out(n, k, s, p),), "tuple"),
        (lambda n, k, s, p: out(n, k, s, p) + 1, r"fails: .*\(28, 3, 1, 1\)"),
    ],
    "transposed": [
        (stamp_over, "later one wins"),
        (lambda x, k, s: stamp(x, k.flip(0), s), "kernel run backwards"),
        (lambda x, k, s: stamp(x.flip(0), k, s), "inputs run backwards"),
        (lambda x, k, s: stamp(torch.ones_like(x), k, s), "scaled by its input"),
        (lambda x, k, s: F.pad(stamp(x, k, s), (0, s)), "copies of the kernel"),
        (lambda x, k, s: F.conv1d(x[None, None], k[None, None], stride=s)[0, 0], "copies|raised"),
        (lambda x, k, s: 2 * stamp(x, k, s), "off"),
    ],
    "batch_norm": [
        (lambda x, eps: normed(x, eps, (1, 2, 3)), "each image: here"),
        (lambda x, eps: F.instance_norm(x, eps=eps), "channel by itself"),
        (lambda x, eps: normed(x, eps, (0,)), "mean of its own"),
        (lambda x, eps: normed(x, eps, (0, 1, 2, 3)), "All channels"),
        (lambda x, eps: normed(x, eps, unbiased=True), "n - 1"),
        (lambda x, eps: normed(x, 0.0), "Where does eps"),
        (lambda x, eps: F.batch_norm(x, None, None, training=True), "off|Where does eps"),
        (lambda x, eps: x - x.mean((0, 2, 3), keepdim=True), "not one yet"),
        (lambda x, eps: normed(x, 0) / (1 + eps / x.std((0, 2, 3), False, keepdim=True)), "under the root"),
        (lambda x, eps: normed(x, eps) / (x.var((0, 2, 3), False, keepdim=True) + eps).sqrt(), "by the variance"),
        (lambda x, eps: torch.nn.LayerNorm(x.shape[1:], eps=eps)(x), "each image: here"),
        (lambda x, eps: normed(x, eps) + 1, "0 and almost 1"),
    ],
    "change_of_variables": [
        (lambda f, y, a, b: f((y - b) / a), "thinned"),
        (lambda f, y, a, b: f((y - b) / a) + a.abs().log(), "grows when"),
        (lambda f, y, a, b: f(y) - a.abs().log(), "which x"),
        (lambda f, y, a, b: f(a * y + b) - a.abs().log(), "once more"),
        (lambda f, y, a, b: f((y - b) / a) - a.log(), "negative"),
        (lambda f, y, a, b: f((y - b) / a) - a.abs(), "logarithm too"),
        (lambda f, y, a, b: f((y - b) / a).exp() / a.abs(), "its logarithm"),
        (lambda f, y, a, b: (f((y - b) / a) - a.abs().log()).sum(), "per entry"),
        (lambda f, y, a, b: f(y / a - b) - a.abs().log(), "only shifts"),
    ],
    "noise": [
        (seeded_globally, "global generator"),
        (lambda shape, seed: torch.randn(shape), "same seed differ"),
        (lambda shape, seed: torch.randn(shape, generator=generator(0)), "Two different seeds"),
        (lambda shape, seed: torch.rand(shape, generator=generator(seed)), "not standard normal"),
        (lambda shape, seed: torch.randn(shape[0], generator=generator(seed)), "shape that was asked"),
        (lambda shape, seed: torch.full(shape, float(seed)), "not standard normal"),
    ],
}
