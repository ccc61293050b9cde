"""Checks for three exercises of the chapter on discrete codes: what is a code?"""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)


@exercise
def ema_step(answer):
    """answer(count, total, z, tokens, decay): (K,), (K, D), (N, D), (N,), float ->
    the new vectors (K, D)."""
    for k, d, n, decay in ((4, 3, 20, 0.9), (5, 2, 3, 0.5), (3, 3, 3, 0.99)):
        count, total = torch.rand(k) + 0.5, torch.randn(k, d)
        z, tokens = torch.randn(n, d), torch.randint(k, (n,))
        got = call(answer, count, total, z, tokens, decay)
        expect_shape(got, (k, d), "one vector for each code")
        nobody = (
            "Some codes are chosen by nobody in a batch: divide by the averaged count, "
            "not by that of the batch."
        )
        expect_finite(got, nobody)
        chosen = F.one_hot(tokens, k).float()  # (N, K)
        n_new, sums = chosen.sum(0), chosen.T @ z
        keep, add = decay, 1 - decay
        new_count = keep * count + add * n_new
        new_total = keep * total + add * sums
        means = sums / n_new.clamp(min=1)[:, None]
        slips = [
            (new_total, "That is the averaged sum: divide it by the averaged count."),
            (
                new_total / count[:, None],
                "You divide by the old count: the count is averaged as well.",
            ),
            (
                (add * total + keep * sums) / (add * count + keep * n_new)[:, None],
                "The decay is the share of the old value that stays, not of the new.",
            ),
            (means, "You take the means of this batch alone: nothing is remembered."),
            (
                (total + sums) / (count + n_new)[:, None],
                "You add up and never forget: the old part is multiplied by decay.",
            ),
            (
                (keep * total + add * means) / new_count[:, None],
                "You average the mean of what chose a code: average the sum.",
            ),
            (
                keep * total / count[:, None] + add * means,
                "You average the vectors. A code that few chose should move less: "
                "average sum and count, and divide at the end.",
            ),
        ]
        hint = "Average the counts and the sums with the same decay; then divide."
        compare(got, new_total / new_count[:, None], slips, hint)
    return "Sum and count forget at the same pace; their ratio is a weighted mean."


@exercise
def fsq_tokens(answer):
    """answer(digits, levels): (N, d) int64, list of d ints -> tokens (N,) int64."""
    for levels in ([3, 4, 5], [2, 7], [8, 4, 4], [6]):
        digits = torch.stack([torch.randint(n, (30,)) for n in levels], 1)  # (N, d)
        digits[0], digits[1] = torch.tensor(levels) - 1, 0
        got = call(answer, digits, list(levels))
        if tuple(got.shape) != (30,):
            raise Wrong(
                f"Your result has shape {tuple(got.shape)}: expected (30,), "
                "one token for each row."
            )
        if got.dtype.is_floating_point or got.dtype == torch.bool:
            raise Wrong(f"Your tokens are {got.dtype}: expected whole numbers.")
        true = _mixed(digits, levels)
        if torch.equal(got.long(), true):
            continue
        if torch.equal(got.long(), _mixed(digits.flip(1), levels[::-1])):
            raise Wrong("You start at the last number: the first one counts the ones.")
        if torch.equal(got.long(), digits.sum(1)):
            raise Wrong("You add the numbers: 1, 0 and 0, 1 would be the same token.")
        if torch.equal(got.long(), true + 1):
            raise Wrong("Your tokens start at 1: the first token is 0.")
        size = torch.tensor(levels).prod()
        if int(got.max()) >= size or int(got.min()) < 0:
            raise Wrong(
                f"The tokens run from {int(got.min())} to {int(got.max())}: "
                f"{levels} has {size} combinations, so expected 0 to {size - 1}."
            )
        raise Wrong(
            "The tokens are off: one step of a number counts as much as all "
            "combinations of the numbers before it."
        )
    return "A number whose places have different bases, as hours, minutes, seconds."


def _mixed(digits, levels):
    place, token = 1, torch.zeros(len(digits), dtype=torch.long)
    for column, base in zip(digits.T, levels, strict=True):
        token, place = token + column * place, place * base
    return token


@exercise
def residual(answer):
    """answer(z, books): (N, D), list of (K, D) -> (N, D), what the codes add up to."""
    for n, d, sizes in ((30, 3, [4, 6]), (20, 2, [3, 3, 5]), (10, 4, [5])):
        z = 2 * torch.randn(n, d)
        books = [torch.randn(k, d) for k in sizes]
        got = call(answer, z, books)
        expect_shape(got, (n, d), "one vector for each z")
        rest, true, alone = z, torch.zeros(n, d), torch.zeros(n, d)
        for book in books:
            found = book[torch.cdist(rest, book).argmin(1)]
            true, rest = true + found, rest - found
            alone = alone + book[torch.cdist(z, book).argmin(1)]
        if same(got, true):
            continue
        if same(got, z):
            raise Wrong("You return z itself: return the sum of the chosen codes.")
        if same(got, rest):
            raise Wrong("That is what is left over: return the sum of the codes.")
        slips = [
            (
                alone,
                "Every codebook gets z itself: the second one should get what the "
                "first has left over.",
            ),
            (found, "That is the last code alone: the codes are added up."),
        ]
        hint = "Take the nearest code, subtract it, give the rest to the next codebook."
        compare(got, true, slips, hint)
    return "Two codebooks of 1,000 codes have a million sums."
