"""Right answers in several forms, and seeded wrong ones with the hint they deserve: DALL-E."""

import math
from itertools import combinations

import torch
import torch.nn.functional as F

from aigc_lib.exercises import dalle as check

__all__ = ["RIGHT", "WRONG", "check"]


def joined(captions, pictures, words):
    return torch.cat((captions, pictures.flatten(1) + words), dim=1)


def nats(logits, targets):
    return F.cross_entropy(logits.mT, targets, reduction="none")


def weighted(o, t, text, weight):
    each = nats(o, t)
    return weight * each[:, :text].mean() + (1 - weight) * each[:, text:].mean()


def weighted_by_log_softmax(o, t, text, weight):
    each = -o.double().log_softmax(-1).gather(-1, t[..., None])[..., 0]
    return each[:, :text].mean() * weight + each[:, text:].mean() * (1 - weight)


def shifted(o, rows):
    return -nats(o[:, :-1], rows[:, 1:])


def prices(o, rows, text):
    each = shifted(o, rows)
    return torch.stack((each[:, : text - 1].sum(1), each[:, text - 1 :].sum(1)), dim=1)


def prices_by_loop(o, rows, text):
    log_p, found = o.double().log_softmax(-1), torch.zeros(len(rows), 2)
    for b, row in enumerate(rows):
        for s in range(1, len(row)):
            found[b, int(s >= text)] += log_p[b, s - 1, row[s]].float()
    return found


def guided(towards, away, w):
    return torch.where(towards == -math.inf, towards, away + w * (towards - away))


def guided_log_softmax(towards, away, w):
    a, t = away.log_softmax(1), towards.log_softmax(1)
    return (a + w * (t - a)).masked_fill(towards == -math.inf, -math.inf)


def columns(h, w):
    i = torch.arange(h * w)
    return (i[:, None] % w == i % w) & (i[:, None] >= i)


def columns_by_loop(h, w):
    mask = torch.zeros(h * w, h * w, dtype=torch.bool)
    for i in range(h * w):
        for j in range(i % w, i + 1, w):
            mask[i, j] = True
    return mask


def any_right(right, n):
    total = right.shape[1]
    chance = [1 - math.comb(total - c, n) / math.comb(total, n) for c in right.sum(1).tolist()]
    return torch.tensor(chance).mean()


def any_right_by_all_choices(right, n):
    choices = list(combinations(range(right.shape[1]), n))
    return torch.stack([right[:, list(c)].any(1).float() for c in choices]).mean()


def unmask(sure, hidden, keep):
    order = sure.masked_fill(~hidden, 2.0).argsort(dim=1)
    still = torch.zeros_like(hidden)
    return still.scatter(1, order[:, :keep], torch.ones_like(order, dtype=torch.bool)[:, :keep])


def unmask_by_loop(sure, hidden, keep):
    still = hidden.clone()
    for row, known in zip(sure, still, strict=True):
        while known.sum() > keep:
            known[(row + 0.0).masked_fill(~known, -1.0).argmax()] = False
    return still


RIGHT = {
    "one_row": [joined, lambda c, p, words: torch.hstack([c, (p + words).reshape(len(p), -1)])],
    "weighted": [weighted, weighted_by_log_softmax],
    "two_prices": [prices, prices_by_loop],
    "guided": [
        guided,
        guided_log_softmax,
        lambda t, a, w: (w * t + (1 - w) * a).where(t > -math.inf, t) if w not in (0, 1) else guided(t, a, w),
    ],
    "column_mask": [columns, columns_by_loop],
    "any_right": [any_right, any_right_by_all_choices],
    "unmask": [unmask, unmask_by_loop],
}

WRONG = {
    "one_row": [
        (lambda c, p, words: torch.cat((c, p.flatten(1)), 1), "same number"),
        (lambda c, p, words: torch.cat((p.flatten(1) + words, c), 1), "stands first"),
        (lambda c, p, words: joined(c, p.transpose(1, 2), words), "by columns"),
        (lambda c, p, words: joined(c, p + 1, words), "is free"),
        (lambda c, p, words: joined(c, p - 1, words), "last word"),
        (lambda c, p, words: joined(c, p, words) + words, "only the codes"),
        (lambda c, p, words: joined(c, p, words).float(), "int64"),
        (lambda c, p, words: p.flatten(1) + words, "shape"),
        (lambda c, p, words: joined(c.flip(1), p, words), "off"),
    ],
    "weighted": [
        (lambda o, t, text, w: weighted(o, t, text, 1 - w), "wrong way round"),
        (lambda o, t, text, w: nats(o, t).mean(), "count alike"),
        (lambda o, t, text, w: w * nats(o, t)[:, :text].mean() + nats(o, t)[:, text:].mean(), "weight 1"),
        (
            lambda o, t, text, w: (w * nats(o, t)[:, :text].sum(1) + (1 - w) * nats(o, t)[:, text:].sum(1)).mean(),
            "add up",
        ),
        (
            lambda o, t, text, w: (w * nats(o, t)[:, :text].sum() + (1 - w) * nats(o, t)[:, text:].sum()) / t.numel(),
            "divide both sums",
        ),
        (lambda o, t, text, w: weighted(o, t, text + 1, w), "counted with the text"),
        (lambda o, t, text, w: weighted(o, t, text, w) / math.log(2), "bits"),
        (lambda o, t, text, w: -weighted(o, t, text, w), "sign"),
        (lambda o, t, text, w: weighted(o, t.flip(1), text, w), "off"),
        (lambda o, t, text, w: nats(o, t), "shape"),
    ],
    "two_prices": [
        (
            lambda o, r, text: torch.stack((-nats(o, r)[:, :text].sum(1), -nats(o, r)[:, text:].sum(1)), 1),
            "just read",
        ),
        (lambda o, r, text: prices(o, r, text + 1), "one term less"),
        (lambda o, r, text: -prices(o, r, text), "sign"),
        (
            lambda o, r, text: torch.stack(
                (shifted(o, r)[:, : text - 1].mean(1), shifted(o, r)[:, text - 1 :].mean(1)), 1
            ),
            "average over",
        ),
        (lambda o, r, text: prices(o, r, text) / math.log(2), "bits"),
        (lambda o, r, text: prices(o, r, text).flip(1), "comes first"),
        (
            lambda o, r, text: torch.stack((prices(o, r, text)[:, 0], prices(o, r, text).sum(1)), 1),
            "holds the caption",
        ),
        (lambda o, r, text: prices(o, r, text).sum(1), "shape"),
        (lambda o, r, text: prices(o.flip(1), r, text), "Which output"),
    ],
    "guided": [
        (lambda t, a, w: a + w * (t - a), "no number"),
        (lambda t, a, w: (a + w * (t - a)).nan_to_num(0.0), "is possible"),
        (lambda t, a, w: guided(t, a, w + 1), "other convention"),
        (lambda t, a, w: guided(a, t, w), "the other way"),
        (lambda t, a, w: guided(t, torch.zeros_like(a), w) - guided(a, torch.zeros_like(a), w), "no number"),
        (
            lambda t, a, w: torch.where(t == -math.inf, t, w * t) if w else torch.where(t == -math.inf, t, 0.0),
            "temperature",
        ),
        (lambda t, a, w: torch.where(t == -math.inf, t, w * (t - a)), "difference alone"),
        (lambda t, a, w: (a.softmax(1) + w * (t.softmax(1) - a.softmax(1))).clamp(min=0), "is possible"),
        (lambda t, a, w: t[0], "shape"),
    ],
    "column_mask": [
        (lambda h, w: columns(h, w) | columns(h, w).T, "below"),
        (lambda h, w: columns(h, w).T, "look down"),
        (
            lambda h, w: (
                (torch.arange(h * w)[:, None] // w == torch.arange(h * w) // w)
                & torch.ones(h * w, h * w, dtype=torch.bool).tril()
            ),
            "mask of lines",
        ),
        (lambda h, w: torch.ones(h * w, h * w, dtype=torch.bool).tril(), "every column"),
        (lambda h, w: columns(h, w) & ~torch.eye(h * w, dtype=torch.bool), "itself"),
        (lambda h, w: ~columns(h, w), "must not"),
        (lambda h, w: columns(h, w).float(), "bool"),
        (lambda h, w: columns(h, w)[0], "shape"),
        (
            lambda h, w: (
                (torch.arange(h * w)[:, None] // h == torch.arange(h * w) // h)
                & torch.ones(h * w, h * w, dtype=torch.bool).tril()
            ),
            "number the tokens by columns",
        ),
        (lambda h, w: torch.eye(h * w, dtype=torch.bool), "off"),
    ],
    "any_right": [
        (
            lambda r, n: (1 - (1 - r.float().mean(1)) ** n).mean() if n > 1 else r.any(1).float().mean(),
            "with repetition|all N",
        ),
        (lambda r, n: 1 - (1 - r.float().mean()) ** (n + (n == 1)), "rate of its own|off"),
        (lambda r, n: r[:, :n].any(1).float().mean(), "first n"),
        (lambda r, n: r.any(1).float().mean(), "all N"),
        (lambda r, n: r.float().mean(), "n = 1"),
        (lambda r, n: 1 - any_right(r, n), "none is right"),
        (lambda r, n: any_right(r, n) * len(r), "add up"),
        (lambda r, n: r.float().mean(1), "shape"),
        (lambda r, n: any_right(r, n) / 2, "Count the choices"),
    ],
    "unmask": [
        (lambda s, h, k: unmask(-s, h, k) if False else _keeps_sure(s, h, k), "most confident"),
        (lambda s, h, k: unmask(s, torch.ones_like(h), k), "hide a place again|most confident|stay hidden"),
        (lambda s, h, k: ~unmask(s, h, k), "token is known"),
        (lambda s, h, k: h & ~unmask(s, h, k), "fixed now"),
        (lambda s, h, k: h, "stay hidden"),
        (lambda s, h, k: unmask(s, h, k).float(), "bool"),
        (lambda s, h, k: unmask(s, h, k)[0], "shape"),
    ],
}


def _keeps_sure(sure, hidden, keep):
    order = sure.masked_fill(~hidden, -2.0).argsort(dim=1, descending=True)
    still = torch.zeros_like(hidden)
    return still.scatter(1, order[:, :keep], torch.ones_like(order, dtype=torch.bool)[:, :keep])
