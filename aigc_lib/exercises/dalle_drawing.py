"""Checks for three exercises of the chapter on DALL-E: who looks where, what counts."""

from math import comb

import torch

from aigc_lib.exercises.verdict import Wrong, call, compare, exercise, expect_shape


@exercise
def column_mask(answer):
    """answer(h, w): ints -> (h w, h w) bool, true where a token may look."""
    for h, w in ((3, 4), (4, 2), (1, 3)):
        got = call(answer, h, w)
        n = h * w
        if tuple(got.shape) != (n, n):
            raise Wrong(
                f"Your result has shape {tuple(got.shape)}: expected ({n}, {n}), a row "
                "for each token that looks."
            )
        if got.dtype != torch.bool:
            raise Wrong(f"Your mask is {got.dtype}: expected torch.bool.")
        line, column = torch.arange(n) // w, torch.arange(n) % w
        same_column = column[:, None] == column
        same_line = line[:, None] == line
        past = torch.ones(n, n, dtype=torch.bool).tril()
        true = same_column & past
        slips = [
            (same_column, "Your tokens see what stands below them: that comes later."),
            (true.T & same_column, "Your tokens look down: rows ask, columns answer."),
            (same_line & past, "That is the mask of lines: expected that of columns."),
            (past, "Your tokens see all that came before, in every column."),
            (true & ~torch.eye(n, dtype=torch.bool), "A token should see itself, too."),
            (~true, "Your mask is true where a token must not look."),
        ]
        tall = (torch.arange(n)[:, None] // h == torch.arange(n) // h) & past
        slips.append((tall, "You number the tokens by columns: they stand by lines."))
        if torch.equal(got, true):
            continue
        for value, hint in slips:
            if torch.equal(got, value):
                raise Wrong(hint)
        raise Wrong("The mask is off: token i stands in line i // w and column i % w.")
    return "A picture of h lines needs at most h keys for each token."


@exercise
def any_right(answer):
    """answer(right, n): (P, N) bool, int -> (), how often one of n is right."""
    for p, total, n in ((5, 8, 3), (7, 6, 1), (4, 5, 5), (6, 10, 4)):
        right = torch.rand(p, total) < torch.rand(p, 1)
        right[0] = False
        right[1, : total - 1], right[1, -1] = False, True
        right[2] = torch.arange(total) < total // 2
        got = call(answer, right, n)
        expect_shape(got, (), "one number for all texts")
        count = right.sum(1).tolist()
        share = torch.tensor([1 - comb(total - c, n) / comb(total, n) for c in count])
        rate = right.float().mean(1)
        pooled = right.float().mean()
        slips = [
            (
                (1 - (1 - rate) ** n).mean(),
                "You draw with repetition: n different ones of the N are drawn, and "
                "the plain power is biased.",
            ),
            (
                1 - (1 - pooled) ** n,
                "You average over the texts first: each text has a rate of its own.",
            ),
            (
                right[:, :n].any(1).float().mean(),
                "You look at the first n only: average over all choices of n.",
            ),
            (right.any(1).float().mean(), "You look at all N: n of them are drawn."),
            (pooled, "That is the share of right ones: it is the answer for n = 1."),
            (1 - share.mean(), "That is how often none is right."),
            (share.sum(), "You add up over the texts: take the mean."),
        ]
        hint = "Count the choices of n among all, and those of n among the wrong ones."
        compare(got, share.mean(), slips, hint)
    return "This is what a re-ranker could reach that always finds a right one."


@exercise
def unmask(answer):
    """answer(sure, hidden, keep): (B, N) floats, (B, N) bool, int -> (B, N) bool."""
    for b, n, keep in ((3, 8, 2), (2, 6, 0), (4, 10, 5)):
        sure = torch.rand(b, n).argsort(1).float() / n + 0.01  # no two are equal
        hidden = torch.rand(b, n).argsort(1) < n - 2  # two are known already
        keep = min(keep, n - 2)
        got = call(answer, sure, hidden, keep)
        if tuple(got.shape) != (b, n):
            raise Wrong(f"Your result has shape {tuple(got.shape)}: expected {(b, n)}.")
        if got.dtype != torch.bool:
            raise Wrong(f"Your result is {got.dtype}: expected torch.bool.")
        true = _least(sure.masked_fill(~hidden, 2.0), keep)
        slips = [
            (
                _least(-sure.masked_fill(~hidden, -2.0), keep),
                "You keep the most confident ones hidden: these should be fixed first.",
            ),
            (
                _least(sure, keep),
                "You hide a place again that was known: what is fixed stays fixed.",
            ),
            (~true, "Your result is true where a token is known."),
            (hidden & ~true, "You return what is fixed now: return what stays hidden."),
            (
                _least(sure.masked_fill(~hidden, 2.0), n - 2 - keep),
                "`keep` places stay hidden: you fix so many.",
            ),
        ]
        if torch.equal(got, true):
            continue
        if (got & ~hidden).any() and not torch.equal(got, ~true):
            raise Wrong(slips[1][1])
        for value, hint in slips:
            if torch.equal(got, value):
                raise Wrong(hint)
        counts = got.sum(1).tolist()
        if counts != [keep] * b:
            raise Wrong(f"{counts} places stay hidden: expected {keep} in each row.")
        raise Wrong("Other places stay hidden than the least confident ones.")
    return "Muse fills a picture in a dozen such rounds, many places at a time."


def _least(sure, keep):
    """True at the `keep` smallest numbers of each row."""
    return sure.argsort(1).argsort(1) < keep
