"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the chapter on latent diffusion."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange

from aigc_lib.exercises import latent_diffusion as check

__all__ = ["RIGHT", "WRONG", "check"]


def read(x, text, wq, wk, wv, *, root=None, dim=2, values=None):
    q, k, v = x @ wq, text @ wk, text @ wv
    root = math.sqrt(q.shape[-1]) if root is None else root
    return (q @ k.mT / root).softmax(dim) @ (k if values == "keys" else v)


def by_heads(x, text, wq, wk, wv):
    q, k, v = ((part @ w)[:, None] for part, w in ((x, wq), (text, wk), (text, wv)))
    return F.scaled_dot_product_attention(q, k, v)[:, 0]


def read_by_loop(x, text, wq, wk, wv):
    rows = torch.zeros_like(x)
    for b in range(len(x)):
        for t in range(x.shape[1]):
            scores = text[b] @ wk @ (x[b, t] @ wq) / x.shape[2] ** 0.5
            rows[b, t] = scores.softmax(0) @ (text[b] @ wv)
    return rows


def noised(z0, eps, a):
    return math.sqrt(a) * z0 + math.sqrt(1 - a) * eps


def started(z0, eps, strength, alpha_bar):
    return noised(z0, eps, float(alpha_bar[round(strength * len(alpha_bar)) - 1]))


def started_in_tensors(z0, eps, strength, alpha_bar):
    a = alpha_bar[int(strength * len(alpha_bar) + 0.5) - 1].to(z0.dtype)
    return a.sqrt() * z0 + (1 - a).sqrt() * eps


def stretched(a):
    roots = a.sqrt()
    return ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2


def stretched_by_loop(a):
    first, last = math.sqrt(a[0]), math.sqrt(a[-1])
    factor = first / (first - last)
    return torch.tensor([(factor * (math.sqrt(x) - last)) ** 2 for x in a.tolist()])


def cut(a):
    a = a.clone()
    a[-1] = 0
    return a


def patched(z, p):
    return rearrange(z, "b d (h p) (w q) -> b (h w) (d p q)", p=p, q=p)


def patched_by_loop(z, p):
    rows = range(0, z.shape[2], p)
    columns = range(0, z.shape[3], p)
    return torch.stack([z[:, :, i : i + p, j : j + p].flatten(1) for i in rows for j in columns], 1)


def other_order(order):
    return lambda z, p: rearrange(z, f"b d (h p) (w q) -> {order}", p=p, q=p)


RIGHT = {
    "scale": [
        lambda z: 1 / z.std(),
        lambda z: z.flatten().std(correction=0) ** -1,
        lambda z: 1 / (z - z.mean()).square().mean().sqrt(),
    ],
    "cross": [read, by_heads, read_by_loop],
    "start": [started, started_in_tensors],
    "latent_mask": [
        lambda m: -F.max_pool2d(-m, 4),
        lambda m: (F.avg_pool2d(m, 4) == 1).float(),
        lambda m: F.avg_pool2d(m, 4) > 0.99,
        lambda m: F.pixel_unshuffle(m, 4).amin(1, keepdim=True),
    ],
    "rescale": [stretched, stretched_by_loop],
    "patches": [lambda z, p: F.unfold(z, p, stride=p).mT, patched, patched_by_loop],
    "lora": [
        lambda x, w, a, b, alpha: F.linear(x, w) + alpha / len(a) * F.linear(F.linear(x, a), b),
        lambda x, w, a, b, alpha: x @ (w + alpha / a.shape[0] * b @ a).T,
    ],
}

WRONG = {
    "scale": [
        (lambda z: z.std(), "That is the deviation|deviation must become"),
        (lambda z: 1 / z.var(), "variance|must become 1"),
        (lambda z: 1 / z.std((0, 2, 3)), "each channel"),
        (lambda z: z / z.std(), "scaled latents"),
        (lambda z: 1 / z.square().mean().sqrt(), "counted from the mean"),
        (lambda z: 1 / z.abs().mean(), "mean size"),
    ],
    "cross": [
        (lambda *a: read(*a, root=1.0), "root of C"),
        (lambda *a: read(*a, root=a[0].shape[2]), "not by C"),
        (lambda *a: read(*a, dim=1), "along S"),
        (lambda *a: read(*a, values="keys"), "sum the values"),
        (lambda *a: a[0] + read(*a), "added later"),
        (lambda x, text, wq, wk, wv: (x @ wq @ (text @ wk).mT).softmax(2), "weights or scores"),
        (lambda x, text, wq, wk, wv: read(text @ wk, x @ wq, *[torch.eye(x.shape[2])] * 3), "the other way"),
    ],
    "start": [
        (lambda z, e, s, a: noised(z, e, float(a[len(a) - round(s * len(a))])), "wrong end|Look up"),
        (lambda z, e, s, a: noised(z, e, 1 - s), "no alpha_bar|look alpha_bar up"),
        (lambda z, e, s, a: noised(e, z, float(a[round(s * len(a)) - 1])), "changed places"),
        (lambda z, e, s, a: z, "without noise"),
        (lambda z, e, s, a: e, "pure noise"),
        (lambda z, e, s, a: started(z, e, s, a.square()), "Roots|Look up"),
    ],
    "latent_mask": [
        (lambda m: F.max_pool2d(m, 4), "not enough"),
        (lambda m: 1 + F.max_pool2d(-m, 4), "turned over"),
        (lambda m: F.avg_pool2d(m, 4), "shares"),
        (lambda m: F.avg_pool2d(m, 4).round(), "Half"),
        (lambda m: m[:, :, ::4, ::4], "one pixel of 16"),
        (lambda m: m, "shape"),
    ],
    "rescale": [
        (lambda a: stretched(a).sqrt(), "square them"),
        (lambda a: (a - a[-1]) * a[0] / (a[0] - a[-1]), "alpha_bar itself"),
        (lambda a: (a.sqrt() - a.sqrt()[-1]) ** 2, "not stretched"),
        (lambda a: stretched(a) / a[0], "is 1 now"),
        (cut, "Only the last"),
        (lambda a: a, "Nothing changed"),
    ],
    "patches": [
        (lambda z, p: F.unfold(z, p, stride=p), "swapped"),
        (lambda z, p: z.reshape(len(z), -1, z.shape[1] * p * p), "mixes places"),
        (other_order("b (w h) (d p q)"), "column by column"),
        (other_order("b (h w) (p q d)"), "channel comes last"),
        (other_order("b (h w) (d q p)"), "inside a patch"),
        (lambda z, p: patched(z, p).flip(1), "reverse"),
    ],
    "lora": [
        (lambda x, w, a, b, alpha: x @ w.T, "update is missing"),
        (lambda x, w, a, b, alpha: alpha / len(a) * x @ a.T @ b.T, "Only the update"),
        (lambda x, w, a, b, alpha: x @ w.T + x @ a.T @ b.T, "alpha / r is missing"),
        (lambda x, w, a, b, alpha: x @ w.T + alpha * x @ a.T @ b.T, "rank"),
        (lambda x, w, a, b, alpha: x @ w.T - alpha / len(a) * x @ a.T @ b.T, "not subtracted"),
        (lambda x, w, a, b, alpha: x @ w.T + len(a) / alpha * x @ a.T @ b.T, "turned over"),
    ],
}
