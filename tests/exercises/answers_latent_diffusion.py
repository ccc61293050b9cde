"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the chapter on latent diffusion."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange

from aigc_lib.exercises import latent_diffusion as check

__all__ = ["RIGHT", "WRONG", "check"]


def split(rows, heads):
    return rearrange(rows, "b n (h d) -> b h n d", h=heads)


def join(found):
    return rearrange(found, "b h t d -> b t (h d)")


def read(x, text, wq, wk, wv, heads, *, root=None, dim=3, values=None, split=split, join=join):
    q, k, v = (split(part, heads) for part in (x @ wq, text @ wk, text @ wv))
    root = math.sqrt(q.shape[-1]) if root is None else root
    return join((q @ k.mT / root).softmax(dim) @ (k if values == "keys" else v))


def by_sdpa(x, text, wq, wk, wv, heads):
    q, k, v = (split(part @ w, heads) for part, w in ((x, wq), (text, wk), (text, wv)))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def head_by_head(x, text, wq, wk, wv, heads):
    columns = zip(*(w.chunk(heads, dim=1) for w in (wq, wk, wv)), strict=True)
    found = []
    for q, k, v in columns:
        scores = x @ q @ (text @ k).mT / q.shape[1] ** 0.5
        found.append(scores.softmax(2) @ (text @ v))
    return torch.cat(found, 2)


def read_by_loop(x, text, wq, wk, wv, heads):
    rows, d = torch.zeros_like(x), x.shape[2] // heads
    for b in range(len(x)):
        for t in range(x.shape[1]):
            for i in range(0, x.shape[2], d):
                scores = (text[b] @ wk)[:, i : i + d] @ (x[b, t] @ wq)[i : i + d] / d**0.5
                rows[b, t, i : i + d] = scores.softmax(0) @ (text[b] @ wv)[:, i : i + d]
    return rows


def apart(rows, heads):
    return rows.reshape(len(rows), heads, rows.shape[1], -1)


def striped(rows, heads):
    return rearrange(rows, "b n (d h) -> b h n d", h=heads)


def gap(mask):
    return F.max_pool2d(1 - mask, 4)


def grown(gap, size=3):
    return F.max_pool2d(gap, size, stride=1, padding=size // 2)


def mask_by_loop(mask):
    rows, columns = mask.shape[2] // 4, mask.shape[3] // 4
    small = torch.zeros(len(mask), 1, rows, columns)
    for i in range(rows):
        for j in range(columns):
            around = mask[:, 0, max(0, 4 * i - 4) : 4 * i + 8, max(0, 4 * j - 4) : 4 * j + 8]
            small[:, 0, i, j] = around.flatten(1).min(1).values
    return small


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


PLUS = torch.tensor([[[[0.0, 1, 0], [1, 1, 1], [0, 1, 0]]]])  # a place and the four beside it

RIGHT = {
    "scale": [
        lambda z: 1 / z.std(),
        lambda z: z.flatten().std(correction=0) ** -1,
        lambda z: 1 / (z - z.mean()).square().mean().sqrt(),
    ],
    "cross": [read, by_sdpa, head_by_head, read_by_loop],
    "start": [started, started_in_tensors],
    "latent_mask": [
        lambda m: 1 - grown(gap(m)),
        lambda m: -F.max_pool2d(-m, 12, stride=4, padding=4),
        lambda m: F.conv2d(gap(m), torch.ones(1, 1, 3, 3), padding=1) == 0,
        lambda m: F.avg_pool2d(1 - m, 12, stride=4, padding=4) == 0,
        mask_by_loop,
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
        (lambda *a: read(*a[:5], 1), "as one head"),
        (lambda *a: read(*a, root=1.0), "root of d"),
        (lambda *a: read(*a, root=a[0].shape[2] // a[5]), "not by d"),
        (lambda *a: read(*a, root=a[0].shape[2] ** 0.5), "C / heads"),
        (lambda *a: read(*a, root=a[1].shape[2] ** 0.5), "not W"),
        (lambda *a: read(*a, dim=2), "along S"),
        (lambda *a: read(*a, values="keys"), "sum the values"),
        (lambda *a: a[0] + read(*a), "added later"),
        (lambda *a: read(*a, join=lambda found: found), "stand apart"),
        (lambda *a: read(*a, join=lambda found: found.mean(1)), "averaged"),
        (lambda *a: read(*a, join=lambda found: found.reshape(a[0].shape)), "are mixed"),
        (lambda *a: read(*a, split=apart), "are mixed"),
        (lambda *a: read(*a, split=apart, join=lambda found: found.reshape(a[0].shape)), "are mixed"),
        (lambda *a: read(*a, split=striped), "every heads-th"),
        (lambda *a: read(*a, join=lambda found: rearrange(found, "b h t d -> b t (d h)")), "out of order"),
        (lambda x, text, wq, wk, wv, heads: (x @ wq @ (text @ wk).mT).softmax(2), "weights or scores"),
        (lambda x, text, wq, wk, wv, h: read(text @ wk, x @ wq, *[torch.eye(x.shape[2])] * 3, h), "the other way"),
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
        (lambda m: -F.max_pool2d(-m, 4), "margin is missing"),
        (lambda m: F.avg_pool2d(m, 4), "shares"),
        (lambda m: grown(gap(m)), "turned over"),
        (lambda m: 1 - F.conv2d(gap(m), PLUS, padding=1).clamp(max=1), "there are eight"),
        (lambda m: F.avg_pool2d(1 - gap(m), 3, 1, 1) > 0.99, "Outside the picture"),
        (lambda m: 1 - grown(gap(m), 5), "two places wide"),
        (lambda m: -F.max_pool2d(-(1 - grown(1 - m)), 4), "one pixel wide"),
        (lambda m: grown(1 - gap(m)), "known part grows"),
        (lambda m: 1 - grown(1 - F.max_pool2d(m, 4)), "One known pixel"),
        (lambda m: 1 - grown((F.avg_pool2d(m, 4) < 0.5).float()), "Half"),
        (lambda m: 1 - grown(1 - m[:, :, ::4, ::4]), "one pixel of 16"),
        (lambda m: F.max_pool2d(m, 12, stride=4, padding=4), "One known pixel"),
        (lambda m: torch.ones_like(gap(m)), "Nothing is left"),
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
