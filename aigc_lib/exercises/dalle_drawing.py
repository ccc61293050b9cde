"""Checks for three exercises of the chapter on DALL-E: Bayes, the best of n, Muse."""

from math import comb

import torch

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)


@exercise
def which_caption(answer):
    """answer(logits, rows, text): (P, C, S, V), (P, C, S), int -> (P, C), the
    probability of each caption, given the picture."""
    sizes = ((3, 4, 8, 5, 3, 1), (2, 3, 6, 4, 2, 1), (2, 5, 7, 6, 4, 300))
    for p, c, s, v, text, scale in sizes:
        captions, codes = torch.randint(v, (c, text)), torch.randint(v, (p, s - text))
        rows = torch.cat(
            (captions.expand(p, c, text), codes[:, None].expand(p, c, s - text)), 2
        )
        logits = scale * torch.randn(p, c, s, v)
        got = call(answer, logits, rows, text)
        expect_shape(got, (p, c), "a probability for each picture and caption")
        expect_finite(got, "Large logits: stay with logarithms until the last step.")
        log_p = logits.log_softmax(-1)
        each = log_p[:, :, :-1].gather(3, rows[:, :, 1:, None])[..., 0]  # (P, C, S - 1)
        late = log_p.gather(3, rows[..., None])[..., 0]  # the output after x says x
        joint = each.sum(2)
        true = joint.softmax(1)
        slips = [
            (
                each[..., text - 1 :].sum(2).softmax(1),
                "You hold all captions for equally probable: by Bayes' rule, how "
                "probable the model finds a caption counts, too.",
            ),
            (
                each[..., : text - 1].sum(2).softmax(1),
                "The picture does not count in your result.",
            ),
            (
                joint.softmax(0),
                "Your probabilities sum to 1 over the pictures: for each picture they "
                "should sum to 1 over the captions.",
            ),
            (
                joint.flatten().softmax(0).view(p, c),
                "Your probabilities sum to 1 over all pairs: the picture is given, so "
                "each row should sum to 1.",
            ),
            (joint.log_softmax(1), "These are logarithms: expected probabilities."),
            (
                joint.exp(),
                "These are the probabilities of the pairs: the picture is given, so "
                "each row should sum to 1.",
            ),
            (joint, "These are log-probabilities of the pairs: the picture is given."),
            (
                each.mean(2).softmax(1),
                "You average over the tokens: by the chain rule it is a sum.",
            ),
            (
                (-joint).softmax(1),
                "The caption that costs most gets the most: the sign is wrong.",
            ),
        ]
        slips += [
            (
                value.softmax(1),
                "You let each output predict the token that it has just read: the "
                "output after token t is for token t + 1.",
            )
            for value in (
                late.sum(2),
                late[..., 1:].sum(2),
                late[..., text:].sum(2),
            )
        ]
        hint = "Bayes' rule: what is p(caption, picture), and what is it divided by?"
        compare(got, true, slips, hint)
    return "A model of pairs describes, too, if it may choose from a list."


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
    return "Muse fills a picture in two dozen such rounds, many places at a time."


def _least(sure, keep):
    """True at the `keep` smallest numbers of each row."""
    return sure.argsort(1).argsort(1) < keep
