"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the GPT chapter."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises import gpt as check
from aigc_lib.models import gpt as library
from aigc_lib.sample import text

__all__ = ["RIGHT", "WRONG", "check"]


def by_loop(logits, tokens):
    total = 0.0
    for row, ids in zip(logits, tokens, strict=True):
        for t in range(len(ids) - 1):
            total = total + torch.logsumexp(row[t], 0) - row[t, ids[t + 1]]
    return total / (tokens.shape[0] * (tokens.shape[1] - 1))


def ce(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def attend(q, k, v, shift=None, scale=None):
    t, s = q.shape[2], k.shape[2]
    scores = q @ k.transpose(-2, -1) / (scale or math.sqrt(q.shape[-1]))
    hidden = torch.ones(t, s).triu(1 + (s - t if shift is None else shift)).bool()
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


def nucleus_by_loop(logits, p):
    out = torch.full_like(logits, -math.inf)
    for row, kept in zip(logits, out, strict=True):
        total = 0.0
        for i in row.argsort(descending=True):
            if total >= p:
                break
            kept[i] = row[i]
            total += row.softmax(0)[i].item()
    return out


def nucleus(logits, p, through=False, order=True):
    ranked, index = logits.softmax(-1).sort(descending=True)
    drop = (ranked.cumsum(-1) > p) if through else (ranked.cumsum(-1) - ranked >= p)
    return logits.masked_fill(drop.scatter(-1, index, drop) if order else drop, -math.inf)


def punish(logits, tokens, penalty):
    out = logits.clone()
    for row, ids in zip(out, tokens, strict=True):
        for i in set(ids.tolist()):
            row[i] = row[i] / penalty if row[i] > 0 else row[i] * penalty
    return out


def count(v, t, n, c, head=0, positions=1, last=2, norms=4, biases=9):
    return torch.tensor(v * c * (1 + head) + positions * t * c + n * (12 * c * c + (norms + biases) * c) + last * c)


def discounted(counts, lower, d, kinds=None, seen=True):
    total = counts.sum(1, keepdim=True)
    kinds = (counts > 0).sum(1, keepdim=True) if kinds is None else kinds
    p = ((counts - d).clamp(min=0) + d * kinds * lower) / total
    return torch.where(total > 0, p, lower) if seen else p


def discounted_by_loop(counts, lower, d):
    rows = []
    for row in counts.tolist():
        n, m = sum(row), sum(c > 0 for c in row)
        rows.append([(max(c - d, 0) + d * m * q) / n if n else q for c, q in zip(row, lower.tolist(), strict=True)])
    return torch.tensor(rows)


RIGHT = {
    "next_token_loss": [by_loop, lambda o, x: ce(o[:, :-1], x[:, 1:])],
    "attend": [attend, library.attend],
    "top_p": [nucleus, nucleus_by_loop, text.top_p],
    "repetition_penalty": [punish, text.repetition_penalty],
    "discounted": [discounted, discounted_by_loop],
    "bits_per_character": [
        lambda n, t, c: n * t / c / math.log(2),
        lambda n, t, c: torch.log2(torch.exp(n)) * (t / c),
    ],
    "parameters": [count, lambda *sizes: count(*sizes).double()],
}

WRONG = {
    "next_token_loss": [
        (lambda o, x: ce(o, x), "which the model has read"),
        (lambda o, x: ce(o[:, 1:], x[:, :-1]), "wrong way"),
        (lambda o, x: ce(o[:, :-1], x[:, 1:]) * x[:, 1:].numel(), "sum over the tokens"),
        (lambda o, x: -ce(o[:, :-1], x[:, 1:]), "sign"),
        (lambda o, x: ce(o, x.roll(-1, 1)), "circle"),
        (lambda o, x: 2 * ce(o[:, :-1], x[:, 1:]), "off"),
        (lambda o, x: F.cross_entropy(o[:, :-1].mT, x[:, 1:], reduction="none"), "shape"),
    ],
    "attend": [
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), "future"),
        (lambda q, k, v: attend(q, k, v, shift=0), "the last"),
        (lambda q, k, v: attend(q, k, v, scale=1.0), "square root"),
        (lambda q, k, v: attend(q, k, v, shift=-2 - q.shape[2]), "not finite|off"),
        (lambda q, k, v: attend(q, k, v) * 2, "off"),
        (lambda q, k, v: attend(q, k, v).transpose(1, 2), "shape"),
    ],
    "top_p": [
        (lambda x, p: nucleus(x, p, through=True), "drop the token|Other tokens"),
        (lambda x, p: nucleus(x, p, order=False), "order of rank"),
        (lambda x, p: nucleus(x, p).softmax(-1).log(), "as they are"),
        (lambda x, p: x, "No logit|Other tokens"),
        (lambda x, p: text.top_k(x, 2), "Other tokens"),
        (lambda x, p: nucleus(x, p).T, "shape"),
    ],
    "repetition_penalty": [
        (lambda x, t, p: x.scatter(1, t, x.gather(1, t) / p), "reward"),
        (lambda x, t, p: torch.where(x > 0, x / p, x * p), "all tokens"),
        (lambda x, t, p: x - torch.zeros_like(x).scatter(1, t, p), "off"),
        (lambda x, t, p: punish(punish(x, t, p), t, p), "off"),
        (lambda x, t, p: punish(x, t, p)[:, :-1], "shape"),
    ],
    "discounted": [
        (lambda c, q, d: discounted(c, q, d, seen=False), "never seen"),
        (lambda c, q, d: torch.where(c.sum(1, keepdim=True) > 0, discounted(c, q, d), 0), "never seen"),
        (lambda c, q, d: torch.where(c > 0, discounted(c, q, d), -0.1), "negative"),
        (lambda c, q, d: discounted(c, 0 * q, d).where(c.sum(1, keepdim=True) > 0, q), "is missing"),
        (lambda c, q, d: discounted(c, q, d, kinds=1), "share out one"),
        (lambda c, q, d: discounted(c, torch.ones_like(q) / len(q), d), "equally"),
        (lambda c, q, d: discounted(c, q, d, kinds=len(q)), "values are off"),
        (lambda c, q, d: discounted(c.T, q, d), "row of"),
        (lambda c, q, d: discounted(c, q, d / 2), "values are off"),
        (lambda c, q, d: discounted(c, q, d)[0], "shape"),
    ],
    "bits_per_character": [
        (lambda n, t, c: n / math.log(2), "bits per token|off"),
        (lambda n, t, c: n * t / c, "in nats"),
        (lambda n, t, c: n * t / c * math.log(2), "0.69"),
        (lambda n, t, c: n.exp(), "perplexity"),
        (lambda n, t, c: n * t / c / 2, "off"),
    ],
    "parameters": [
        (lambda *s: count(*s, head=1), "head"),
        (lambda *s: count(*s, positions=0), "position embedding"),
        (lambda *s: count(*s, last=0), "norm before the head"),
        (lambda *s: count(*s, norms=0), "two norms"),
        (lambda *s: count(*s, biases=0), "biases"),
        (lambda *s: count(*s) + 1, "you count"),
    ],
}
