"""Checks for the chapter on CLIP: what is counted, and what else is in a batch."""

import torch
import torch.nn.functional as F

from aigc_lib import evaluate
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)


@exercise
def recall(answer):
    """answer(similar, right, k): (N, M), (N,) int64, int -> (), the share of rows whose
    right column is among the k largest."""
    for n, m, k in [(50, 12, 1), (60, 12, 3), (6, 5, 5), (40, 4, 2)]:
        similar = torch.randn(n, m)
        right = torch.randint(m, (n,))
        similar[torch.arange(n), right] += 1.5  # so that the first place stands out
        got = call(answer, similar, right, k)
        if got.shape == (n,):
            raise Wrong("You return one answer for each row: give their mean.")
        if got.shape == () and not got.is_floating_point():
            raise Wrong("You count the hits: divide by the number of rows.")
        expect_shape(got, (), "one number, the share of rows")

        def share(table, places, within=k):
            return torch.tensor(evaluate.recall(table, places, within))

        true = share(similar, right)
        slips = [
            (n * true, "You count the hits: divide by the number of rows."),
            (1 - true, "These are the rows that miss."),
            (true / k, "You divide by k, too: a row is a hit or it is none."),
            (share(-similar, right), "You take the k smallest: similar means large."),
        ]
        if k > 1:
            slips += [
                (share(similar, right, 1), "You look at the best column only."),
                (share(similar, right, k - 1), "You stop one place too early."),
            ]
        if k < m:
            slips.append((share(similar, right, k + 1), "You go one place too far."))
        hint = "With k = M every row is a hit; `topk` gives values and places."
        compare(got.double(), true, slips, hint)
    return "With M columns, guessing gives k / M."


@exercise
def ensemble(answer):
    """answer(vectors, classes, K): (M, D) of any length, (M,) int64, int -> (K, D), one
    vector of length 1 for each class, in which each of its prompts counts equally."""
    for counts, d in [
        ([3, 1, 4], 5),
        ([2, 5], 3),
        ([1, 2, 2, 4, 1], 4),
        ([6, 2, 3], 6),
    ]:
        k, m = len(counts), sum(counts)
        classes = torch.arange(k).repeat_interleave(torch.tensor(counts))
        order = torch.randperm(m)
        order = torch.cat([order[order != 0], order[order == 0]])  # not as it was
        classes = classes[order]
        vectors = (0.3 + 3 * torch.rand(m, 1)) * F.normalize(torch.randn(m, d) + 0.5)
        got = call(answer, vectors, classes, k)
        if got.shape == (m, d) and m != k:
            raise Wrong("You return a vector for each prompt: one for each class.")
        expect_shape(got, (k, d), "one vector for each class")
        units = F.normalize(vectors)

        def each(rows, pick, classes=classes, k=k):
            return torch.stack([pick(rows[classes == i]) for i in range(k)])

        total, mean = each(units, _total), each(units, _mean)
        longest = each(vectors, _total)
        overall = units.mean(0).expand(k, -1)
        blocks = torch.stack([part.sum(0) for part in units.split(counts)])
        slips = [
            (
                F.normalize(longest),
                "Longer prompts count more: bring each to length 1 first.",
            ),
            (mean, "The mean of unit vectors is shorter than 1: normalise it again."),
            (total, "The sum has another length: normalise it."),
            (
                each(vectors, _mean),
                "Nothing is normalised: neither the prompts nor the mean.",
            ),
            (total * k / m, "Classes have numbers of their own: normalise each row."),
            (each(units, lambda rows: rows[0]), "You use the first prompt alone."),
            (each(units, lambda rows: rows[-1]), "You use the last prompt alone."),
            (F.normalize(overall), "You average over all classes."),
            (F.normalize(blocks), "The prompts are in any order: look at `classes`."),
            (F.normalize(mean, dim=0), "You normalise the columns: a vector is a row."),
            (
                F.normalize(each(units, lambda rows: rows.amax(0))),
                "You take the largest, not the mean.",
            ),
        ]
        hint = "Normalise each prompt, add those of a class, normalise the sum."
        compare(got, F.normalize(total), slips, hint)
    return "One vector a class: the pictures cost no more than with a single prompt."


@exercise
def duplicates(answer):
    """answer(logits, captions): (N, N), (N,) int64 -> (), the loss image -> text in
    which other rows with the same caption are no negatives."""
    cases = [[0, 1, 2, 0, 3], [0, 0, 0, 1], [0, 1, 2, 3], [4, 4, 2, 2, 1, 4]]
    for captions in map(torch.tensor, cases):
        n = len(captions)
        logits = 2 * torch.randn(n, n)
        got = call(answer, logits, captions)
        if got.shape == (n,):
            raise Wrong("You return one loss for each image: give their mean.")
        expect_shape(got, (), "the mean over the images")
        expect_finite(got, "Each image must keep its own caption in the softmax.")
        mine = torch.eye(n, dtype=torch.bool)
        equal = captions[:, None] == captions
        true = _masked(logits, equal & ~mine)
        repeated = equal.sum(1) > 1
        every = torch.arange(n)
        slips = [
            (
                F.cross_entropy(logits, every),
                "The duplicates still count as negatives.",
            ),
            (
                _masked(logits.T, equal & ~mine),
                "Rows are images: sum over the columns.",
            ),
            (
                F.cross_entropy(logits.masked_fill(equal & ~mine, 0.0), every),
                "A logit of 0 is no removal: exp(0) = 1 stays in the sum.",
            ),
            (
                _spread(logits, equal),
                "You make the duplicates further right answers. That is a cure as "
                "well; here they should be left out.",
            ),
            (n * true, "You sum over the images: average."),
            (-true, "The sign is the other way round."),
        ]
        if not repeated.all():
            rows = _masked(logits, equal & ~mine, mean=False)[~repeated]
            slips.append(
                (rows.mean(), "You leave out whole images: mask columns only.")
            )
        hint = "Where no caption repeats, it must be the ordinary loss."
        compare(got, true, slips, hint)
    return "A negative that is right after all would push the pair apart."


@exercise
def nt_xent(answer):
    """answer(z, tau): (2N, D) of length 1, rows i and i + N two views of one picture ->
    (), the loss of SimCLR."""
    for n, d, tau in [(3, 4, 0.5), (2, 3, 0.1), (5, 8, 1.0), (4, 2, 0.05)]:
        z = F.normalize(torch.randn(2 * n, d), dim=1)
        got = call(answer, z, tau)
        if got.shape == (2 * n,):
            raise Wrong("You return one loss for each view: give their mean.")
        expect_shape(got, (), "the mean over all 2N views")
        logits = z @ z.T / tau
        mine = torch.eye(2 * n, dtype=torch.bool)
        partner = torch.arange(2 * n).roll(n)
        masked = logits.masked_fill(mine, float("-inf"))
        true = F.cross_entropy(masked, partner)
        first = masked[:n]
        across = F.cross_entropy(logits[:n, n:], torch.arange(n))
        neighbour = torch.arange(2 * n) ^ 1
        slips = [
            (
                F.cross_entropy(logits, partner),
                "Each view is compared with itself, too: leave that out.",
            ),
            (F.cross_entropy(first, partner[:n]), "Only half of the views ask."),
            (across, "Views of the same half are negatives, too."),
            (
                (across + F.cross_entropy(logits[n:, :n], torch.arange(n))) / 2,
                "Views of the same half are negatives, too.",
            ),
            (
                F.cross_entropy((z @ z.T).masked_fill(mine, float("-inf")), partner),
                "The temperature is missing.",
            ),
            (
                F.cross_entropy(masked * tau**2, partner),
                "You multiply by tau: divide by it.",
            ),
            (
                F.cross_entropy(masked, neighbour),
                "The partner of row i is row i + N, not its neighbour.",
            ),
            (
                F.cross_entropy(logits.masked_fill(mine, 0.0), partner),
                "A logit of 0 is no removal: exp(0) = 1 stays in the sum.",
            ),
            (-true, "The sign is the other way round."),
            (2 * n * true, "You sum over the views: average."),
        ]
        hint = "Each of the 2N views asks which of the 2N - 1 others is its partner."
        compare(got, true, slips, hint)
    return "The loss of this chapter, with a second view in place of a caption."


def _total(rows):
    return rows.sum(0)


def _mean(rows):
    return rows.mean(0)


def _masked(logits, out, mean=True):
    """The loss of each row or their mean, without the columns in `out`."""
    right = torch.arange(len(logits))
    rest = logits.masked_fill(out, float("-inf"))
    return F.cross_entropy(rest, right, reduction="mean" if mean else "none")


def _spread(logits, equal):
    """Cross-entropy with the right answer spread over all equal captions."""
    target = equal.float() / equal.sum(1, keepdim=True)
    return -(target * logits.log_softmax(1)).sum(1).mean()
