"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the Transformer chapter."""

import heapq

import torch
import torch.nn.functional as F

from aigc_lib.exercises import transformer as check

__all__ = ["RIGHT", "WRONG", "check"]


def rms(x, g, eps, mean=lambda s: s.mean(-1, keepdim=True), root=torch.sqrt):
    return x / root(mean(x * x) + eps) * g


def rates_by_loop(steps, C, w):
    return torch.tensor([min(s**-0.5, s / w**1.5) / C**0.5 for s in range(1, steps + 1)])


def rate(steps, C, w, first=1, pick=torch.minimum, up=-1.5):
    s = torch.arange(first, steps + first).double()
    return C**-0.5 * pick(s**-0.5, s * float(w) ** up)


def smooth(logits, target, epsilon, spread=lambda logp, right: logp.mean(-1)):
    logp = logits.log_softmax(-1)
    right = logp[torch.arange(len(target)), target]
    return -(1 - epsilon) * right - epsilon * spread(logp, right)


def by_table(logits, target, epsilon):
    V = logits.shape[1]
    q = F.one_hot(target, V) * (1 - epsilon) + epsilon / V
    return -(q * logits.log_softmax(-1)).sum(-1)[target != 0].mean()


def others(logp, right):
    return (logp.sum(-1) - right) / (logp.shape[1] - 1)


def by_fold(patches, P, H, W):
    return F.fold(patches.mT, (H, W), P, stride=P)


def by_hand(patches, P, H, W):
    B, N, size = patches.shape
    image = torch.zeros(B, size // P**2, H, W)
    for i in range(N):
        r, c = i // (W // P) * P, i % (W // P) * P
        image[:, :, r : r + P, c : c + P] = patches[:, i].view(B, -1, P, P)
    return image


def shuffled(order, last=False, down=False):
    def answer(patches, P, H, W):
        rows, cols = (W // P, H // P) if down else (H // P, W // P)
        inner = (P, P, -1) if last else (-1, P, P)
        tiles = patches.reshape(len(patches), rows, cols, *inner)
        return tiles.permute(order).reshape(len(patches), -1, H, W)

    return answer


def penalised(total, n, alpha):
    return total / ((5 + n) / 6) ** alpha


def beam(log_probs, k, longest, alpha, *, penalty=penalised, first=False, ended=True, room=True):
    kept, finished = [((), 0.0)], []
    for _ in range(longest):
        longer = []
        for prefix, total in kept:
            logp = log_probs(prefix)
            longer += [((*prefix, t), total + float(logp[t])) for t in range(len(logp))]
        best = heapq.nlargest(k, longer, key=lambda pair: pair[1])
        if not room:  # finished sequences take no place in the beam
            finished += [p for p in longer if p[0][-1] == 0]
            kept = heapq.nlargest(k, [p for p in longer if p[0][-1] != 0], key=lambda pair: pair[1])
            continue
        finished += [p for p in best if p[0][-1] == 0]
        if first and finished:
            return list(finished[0][0])
        kept = [p for p in best if p[0][-1] != 0] if ended else best
    return list(max(finished, key=lambda p: penalty(p[1], len(p[0]), alpha))[0]) if finished else [0]


def greedy(log_probs, k, longest, alpha):
    return beam(log_probs, 1, longest, alpha)


RIGHT = {
    "rms_norm": [rms, lambda x, g, eps: F.rms_norm(x, x.shape[-1:], g, eps)],
    "rates": [rates_by_loop, rate],
    "smoothed": [
        by_table,
        lambda x, y, e: smooth(x, y, e)[y != 0].mean(),
        lambda x, y, e: F.cross_entropy(x, y, ignore_index=0, label_smoothing=e),
    ],
    "count": [
        lambda C, hidden: 8 * C * (C + 1) + 2 * C * hidden + hidden + 7 * C,
        lambda C, hidden: sum(
            [8 * C * C + 8 * C, C * hidden + hidden, hidden * C + C, 6 * C],
        ),
    ],
    "unpatch": [by_fold, by_hand],
    "beam": [beam],
}

WRONG = {
    "rms_norm": [
        (lambda x, g, eps: F.layer_norm(x, x.shape[-1:], g, eps=eps), "keeps the mean"),
        (lambda x, g, eps: rms(x, g, eps, lambda s: s.sum(-1, keepdim=True)), "sum the squares"),
        (lambda x, g, eps: rms(x, g, eps, root=lambda s: s), "root is missing"),
        (lambda x, g, eps: rms(x, 1.0, eps), "factors g"),
        (lambda x, g, eps: x / ((x * x).mean(-1, keepdim=True).sqrt() + eps) * g, "before the root|off"),
        (lambda x, g, eps: rms(x, g, eps, lambda s: s.mean()), "all vectors"),
        (lambda x, g, eps: rms(x, g, 0.0), "eps is missing|nan"),
        (lambda x, g, eps: x.mean(-1), "shape"),
    ],
    "rates": [
        (lambda steps, C, w: rate(steps, C, w, first=0), "not 0"),
        (lambda steps, C, w: rate(steps, C, w, pick=torch.maximum), "larger of the two"),
        (lambda steps, C, w: rate(steps, 1, w), "factor of the width"),
        (lambda steps, C, w: rate(steps, 1 / C, w), "exponent -1/2"),
        (lambda steps, C, w: rate(steps, C, w, up=-0.5), "exponent -3/2"),
        (lambda steps, C, w: rate(steps, C, w, pick=lambda a, b: a), "no warm-up"),
        (lambda steps, C, w: rate(steps, C, w, pick=lambda a, b: b), "must fall"),
        (lambda steps, C, w: rate(steps + 1, C, w), "shape"),
    ],
    "smoothed": [
        (lambda x, y, e: smooth(x, y, e).mean(), "padding too"),
        (lambda x, y, e: smooth(x, y, e)[y != 0].sum(), "add up"),
        (lambda x, y, e: (smooth(x, y, e) * (y != 0)).mean(), "padding included"),
        (lambda x, y, e: smooth(x, y, 0.0)[y != 0].mean(), "plain cross-entropy"),
        (lambda x, y, e: smooth(x, y, e, lambda p, r: p.sum(-1))[y != 0].mean(), "epsilon / V"),
        (lambda x, y, e: smooth(x, y, e, others)[y != 0].mean(), "V - 1"),
        (lambda x, y, e: smooth(x, y, 1 - e)[y != 0].mean(), "exchanged"),
        (lambda x, y, e: -smooth(x, y, e)[y != 0].mean(), "sign"),
        (lambda x, y, e: smooth(x, y, e), "shape"),
    ],
    "count": [
        (lambda C, hidden: 4 * C * (C + 1) + 2 * C * hidden + hidden + 7 * C, "two attentions"),
        (lambda C, hidden: 8 * C * (C + 1) + 2 * C * hidden + hidden + C, "norms have parameters"),
        (lambda C, hidden: 8 * C * (C + 1) + 2 * C * hidden + hidden + 5 * C, "three norms"),
        (lambda C, hidden: 8 * C * C + 2 * C * hidden + 6 * C, "biases are missing"),
        (lambda C, hidden: 6 * C * (C + 1) + 2 * C * hidden + hidden + 7 * C, "W\\^O"),
        (lambda C, hidden: 8.0 * C * C, "expected int"),
    ],
    "unpatch": [
        (lambda p, P, H, W: p.reshape(len(p), -1, H, W), "mixes the patches"),
        (shuffled((0, 3, 1, 5, 2, 4)), "mirrored"),
        (shuffled((0, 5, 1, 3, 2, 4), last=True), "channel comes first"),
        (shuffled((0, 3, 2, 4, 1, 5), down=True), "along the rows"),
        (lambda p, P, H, W: p, "shape"),
    ],
    "beam": [
        (greedy, "among the sequences|best finished|likeliest"),
        (lambda *args: beam(*args, penalty=lambda total, n, alpha: total), "divide by the penalty"),
        (lambda *args: beam(*args, first=True), "when you stop|likeliest|best finished"),
        (
            lambda *args: beam(*args, penalty=lambda total, n, alpha: total * ((5 + n) / 6) ** alpha),
            "penalty|likeliest",
        ),
        (lambda *args: beam(*args, room=False), "among the sequences"),
        (lambda *args: beam(*args)[:-1], "only 0"),
        (lambda *args: [1] * 9 + [0], "expected up to"),
        (lambda *args: torch.tensor(beam(*args)), "expected list"),
    ],
}
