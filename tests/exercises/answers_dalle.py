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


def real(t, text):
    """1 where a target counts, 0 at the padding of the caption."""
    return torch.cat((t[:, :text] != 0, torch.ones_like(t[:, text:], dtype=torch.bool)), 1).float()


def weighted(o, t, text, weight):
    each, kept = nats(o, t), t[:, :text] != 0
    return weight * each[:, :text][kept].mean() + (1 - weight) * each[:, text:].mean()


def weighted_by_ignoring(o, t, text, weight):
    words = F.cross_entropy(o[:, :text].flatten(0, 1), t[:, :text].flatten(), ignore_index=0)
    return weight * words + (1 - weight) * F.cross_entropy(o[:, text:].mT, t[:, text:])


def weighted_by_log_softmax(o, t, text, weight):
    each = -o.double().log_softmax(-1).gather(-1, t[..., None])[..., 0]
    kept = t[:, :text].bool()
    return (each[:, :text] * kept).sum() / kept.sum() * weight + each[:, text:].mean() * (1 - weight)


def parts(o, t, text):
    """Nats of the words, 0 at the padding; of the codes; the number of words."""
    each, kept = nats(o, t), real(t, text)
    return (each * kept)[:, :text], each[:, text:], kept[:, :text].sum()


def of_rows(o, rows):
    """log p of each token of a row but the first: (P, C, S - 1)."""
    return o[:, :, :-1].log_softmax(-1).gather(-1, rows[:, :, 1:, None])[..., 0]


def which_caption(o, rows, text):
    return of_rows(o, rows).sum(-1).softmax(dim=1)


def which_by_bayes(o, rows, text):
    each = of_rows(o.double(), rows)
    prior, picture = each[..., : text - 1].sum(-1), each[..., text - 1 :].sum(-1)
    log_joint = prior + picture
    return (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()


def which_by_loop(o, rows, text):
    found = torch.zeros(o.shape[:2])
    for p in range(o.shape[0]):
        for c in range(o.shape[1]):
            found[p, c] = -F.cross_entropy(o[p, c, :-1], rows[p, c, 1:], reduction="sum")
    return found.softmax(1)


def guided(towards, away, w):
    return torch.where(towards == -math.inf, towards, away + w * (towards - away))


def guided_log_softmax(towards, away, w):
    a, t = away.log_softmax(1), towards.log_softmax(1)
    return (a + w * (t - a)).masked_fill(towards == -math.inf, -math.inf)


def within(text, h, w, seen):
    """The right mask, but for the picture's own part, which `seen` makes."""
    mask = torch.ones(text + h * w, text + h * w, dtype=torch.bool).tril()
    i = torch.arange(h * w)
    mask[text:, text:] = seen(i[:, None], i)
    return mask


def close(w, reach, past=True):
    def seen(i, j):
        near = ((i // w - j // w).abs() <= reach) & ((i % w - j % w).abs() <= reach)
        return near & (i >= j) if past else near

    return seen


def neighbours(text, h, w, reach):
    return within(text, h, w, close(w, reach))


def neighbours_by_loop(text, h, w, reach):
    mask = torch.zeros(text + h * w, text + h * w, dtype=torch.bool)
    for i in range(text + h * w):
        for j in range(i + 1):
            (a, b), (c, d) = divmod(i - text, w), divmod(j - text, w)
            mask[i, j] = j < text or (a - c <= reach and abs(b - d) <= reach)
    return mask


def neighbours_by_blocks(text, h, w, reach):
    def band(n):
        return torch.ones(n, n).tril(reach).triu(-reach)

    grid = torch.kron(band(h), band(w)).tril().bool()
    words = torch.ones(text, text, dtype=torch.bool).tril()
    top = torch.cat((words, torch.zeros(text, h * w, dtype=torch.bool)), 1)
    return torch.cat((top, torch.cat((torch.ones(h * w, text, dtype=torch.bool), grid), 1)))


def from_the_start(text, h, w, reach):
    i = torch.arange(text + h * w)
    mask = neighbours(text, h, w, reach)
    return torch.where((i < text) | (i < text)[:, None], mask, close(w, reach)(i[:, None], i))


def with_part(mask, rows, columns, value):
    mask = mask.clone()
    mask[rows, columns] = value
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
    "weighted": [weighted, weighted_by_ignoring, weighted_by_log_softmax],
    "which_caption": [which_caption, which_by_bayes, which_by_loop],
    "guided": [
        guided,
        guided_log_softmax,
        lambda t, a, w: (w * t + (1 - w) * a).where(t > -math.inf, t) if w not in (0, 1) else guided(t, a, w),
    ],
    "neighbour_mask": [neighbours, neighbours_by_loop, neighbours_by_blocks],
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
        (
            lambda o, t, text, w: w * nats(o, t)[:, :text].mean() + (1 - w) * nats(o, t)[:, text:].mean(),
            "padding counts",
        ),
        (
            lambda o, t, text, w: w * parts(o, t, text)[0].mean() + (1 - w) * parts(o, t, text)[1].mean(),
            "still divide",
        ),
        (
            lambda o, t, text, w: (
                w * (parts(o, t, text)[0].sum(1) / real(t, text)[:, :text].sum(1)).mean()
                + (1 - w) * parts(o, t, text)[1].mean()
            ),
            "each row first",
        ),
        (lambda o, t, text, w: weighted(o, t, text, 1 - w), "wrong way round"),
        (lambda o, t, text, w: (nats(o, t) * real(t, text)).sum() / real(t, text).sum(), "count alike"),
        (
            lambda o, t, text, w: w * parts(o, t, text)[0].sum() / parts(o, t, text)[2] + nats(o, t)[:, text:].mean(),
            "weight 1",
        ),
        (
            lambda o, t, text, w: w * parts(o, t, text)[0].sum(1).mean() + (1 - w) * parts(o, t, text)[1].sum(1).mean(),
            "add up",
        ),
        (lambda o, t, text, w: weighted(o, t, text + 1, w), "counted with the text"),
        (
            lambda o, t, text, w: (
                w * nats(o, t)[:, :text][t[:, :text] == 0].mean() + (1 - w) * nats(o, t)[:, text:].mean()
            ),
            "skip the words",
        ),
        (lambda o, t, text, w: weighted(o, t, text, w) / math.log(2), "bits"),
        (lambda o, t, text, w: -weighted(o, t, text, w), "sign"),
        (lambda o, t, text, w: weighted(o.flip(1), t, text, w), "off"),
        (lambda o, t, text, w: nats(o, t), "shape"),
    ],
    "which_caption": [
        (lambda o, r, text: of_rows(o, r)[..., text - 1 :].sum(-1).softmax(1), "equally probable"),
        (lambda o, r, text: of_rows(o, r)[..., : text - 1].sum(-1).softmax(1), "picture does not count"),
        (lambda o, r, text: of_rows(o, r).sum(-1).softmax(0), "over the pictures"),
        (lambda o, r, text: of_rows(o, r).sum(-1).flatten().softmax(0).view(r.shape[:2]), "over all pairs"),
        (lambda o, r, text: of_rows(o, r).sum(-1).log_softmax(1), "These are logarithms"),
        (lambda o, r, text: of_rows(o, r).sum(-1).exp(), "probabilities of the pairs"),
        (lambda o, r, text: of_rows(o, r).sum(-1), "log-probabilities of the pairs"),
        (lambda o, r, text: of_rows(o, r).mean(-1).softmax(1), "average over"),
        (lambda o, r, text: (-of_rows(o, r).sum(-1)).softmax(1), "sign is wrong"),
        (lambda o, r, text: o.log_softmax(-1).gather(-1, r[..., None])[..., 0].sum(-1).softmax(1), "just read"),
        (
            lambda o, r, text: (
                of_rows(o, r).sum(-1).exp() / of_rows(o, r).sum(-1).exp().sum(1, keepdim=True)
                if o.abs().max() > 50
                else which_caption(o, r, text)
            ),
            "nan",
        ),
        (lambda o, r, text: of_rows(o, r).sum(-1).argmax(1), "shape"),
        (lambda o, r, text: which_caption(o.flip(2), r, text), "Bayes"),
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
    "neighbour_mask": [
        (from_the_start, "from the start of the row"),
        (
            lambda text, h, w, r: within(
                text, h, w, lambda i, j: (i >= j) & ((i - j + r) % w <= 2 * r) & (i - j <= r * w + r)
            ),
            "around the edge",
        ),
        (
            lambda text, h, w, r: within(text, h, w, lambda i, j: (i >= j) & (i // w - j // w <= r)),
            "columns may lie",
        ),
        (
            lambda text, h, w, r: within(text, h, w, lambda i, j: (i >= j) & ((i % w - j % w).abs() <= r)),
            "lines may lie",
        ),
        (
            lambda text, h, w, r: within(
                text, h, w, lambda i, j: (i >= j) & (i // w - j // w + (i % w - j % w).abs() <= r)
            ),
            "add the distances",
        ),
        (lambda text, h, w, r: neighbours(text, h, w, r + 1), "too wide"),
        (lambda text, h, w, r: neighbours(text, h, w, r - 1), "too narrow"),
        (lambda text, h, w, r: within(text, h, w, close(h, r)) if h != w else neighbours(text, h, w, r), "by columns"),
        (lambda text, h, w, r: within(text, h, w, lambda i, j: i >= j), "all that came before"),
        (lambda text, h, w, r: neighbours(text, h, w, r).T, "look ahead"),
        (
            lambda text, h, w, r: with_part(neighbours(text, h, w, r), slice(text, None), slice(text), False),
            "do not see the caption",
        ),
        (lambda text, h, w, r: with_part(neighbours(text, h, w, r), slice(text), slice(text), True), "later in it"),
        (lambda text, h, w, r: within(text, h, w, close(w, r, past=False)), "later in the row"),
        (lambda text, h, w, r: neighbours(text, h, w, r) & ~torch.eye(text + h * w, dtype=torch.bool), "itself"),
        (lambda text, h, w, r: ~neighbours(text, h, w, r), "must not"),
        (
            lambda text, h, w, r: with_part(neighbours(text, h, w, r), slice(text), slice(text, None), True),
            "does not see the picture",
        ),
        (lambda text, h, w, r: with_part(neighbours(text, h, w, r), slice(text), slice(text), False), "Among the"),
        (
            lambda text, h, w, r: with_part(neighbours(text, h, w, r), slice(text, None), 0, False),
            "sees the whole caption",
        ),
        (lambda text, h, w, r: within(text, h, w, lambda i, j: (i >= j) & ((i - j) % 2 == 0)), "Within the picture"),
        (lambda text, h, w, r: neighbours(text, h, w, r).float(), "bool"),
        (lambda text, h, w, r: neighbours(0, h, w, r), "shape"),
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
