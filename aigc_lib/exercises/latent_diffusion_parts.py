"""Checks for the chapter on latent diffusion: masks, patches and small updates."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import Wrong, call, compare, exercise, expect_shape


@exercise
def latent_mask(answer):
    """answer(mask): (B, 1, H, W) of 0 and 1, 1 where a pixel is known -> (B, 1, H/4,
    W/4), 1 where a place and its neighbours are known in all pixels."""
    for b, h, w in [(2, 32, 28), (1, 32, 32), (3, 24, 36)]:
        mask = torch.ones(b, 1, h, w)
        mask[:, :, 12:24, :16] = mask[:, :, 4:8, 8:12] = 0.0
        mask[:, :, 12:24:4, 13] = 1.0  # one known pixel of three places
        mask[:, :, 4, 8] = 1.0  # the first pixel of a place
        mask[:, :, -3, -2] = 0.0  # one unknown pixel of the last place
        y, x = torch.randint(4, (2, b))
        mask[torch.arange(b), 0, y, w - 1 - x] = 0.0  # one in a corner, at random
        got = call(answer, mask)
        if got.dtype in (torch.bool, torch.int64, torch.int32):
            got = got.float()
        expect_shape(got, (b, 1, h // 4, w // 4), "one number for 4x4 pixels")
        hint = (
            "One unknown pixel in a place, or in one of the eight around it, makes 0."
        )
        compare(got, 1 - grown(_gap(mask)), mask_slips(mask), hint)
    return "One unknown pixel spoils its place and the eight places around it."


def _gap(mask):
    """1 where one of 4x4 pixels is unknown: (B, 1, H/4, W/4)."""
    return F.max_pool2d(1 - mask, 4)


def grown(gap, size=3):
    """The gap with a margin on each side; nothing comes from outside the picture."""
    return F.max_pool2d(gap, size, stride=1, padding=size // 2)


def mask_slips(mask):
    """What wrong answers to `latent_mask` give, each with its hint."""
    gap, shares = _gap(mask), F.avg_pool2d(mask, 4)
    true = 1 - grown(gap)
    beside = torch.maximum(
        F.max_pool2d(gap, (1, 3), stride=1, padding=(0, 1)),
        F.max_pool2d(gap, (3, 1), stride=1, padding=(1, 0)),
    )
    framed = 1 - F.max_pool2d(F.pad(gap, (1, 1, 1, 1), value=1.0), 3, stride=1)
    finer = 1 - _gap(1 - grown(1 - mask))
    margin = "The margin is missing: the places around the gap are 0, too."
    return [
        (1 - gap, margin),
        (shares, "These are shares: only a share of 1 is known."),
        (mask[:, :, ::4, ::4], "You look at one pixel of 16."),
        (1 - grown(1 - mask[:, :, ::4, ::4]), "You look at one pixel of 16."),
        (grown(gap), "It is turned over: 1 means known."),
        (1 - beside, "The places at the corners are neighbours, too: there are eight."),
        (framed, "Outside the picture nothing is unknown: its border stays known."),
        (1 - grown(gap, 5), "The margin is two places wide: one is asked for."),
        (finer, "The margin is one pixel wide: it is one place, 4 pixels."),
        (grown(1 - gap), "The known part grows: it is the gap that grows."),
        (
            1 - grown(1 - F.max_pool2d(mask, 4)),
            "One known pixel is not enough: all 16 must be known.",
        ),
        (
            grown(F.max_pool2d(mask, 4)),
            "One known pixel is not enough: all must be known, nearby, too.",
        ),
        (1 - grown(1 - shares.round()), "Half is not enough: all 16 must be known."),
        (
            F.avg_pool2d(1 - gap, 3, 1, 1, count_include_pad=False),
            "These are shares: only a share of 1 is known.",
        ),
        (torch.ones_like(true), "Nothing is left to be filled in."),
    ]


@exercise
def patches(answer):
    """answer(z, p): (B, D, H, W), int -> (B, H W / p^2, D p^2), p x p places of all
    channels as one token; patches row by row, entries by channel, row, column."""
    for b, d, h, w, p in [(2, 4, 8, 12, 2), (1, 3, 4, 8, 2), (2, 2, 6, 6, 3)]:
        z = torch.randn(b, d, h, w)
        got = call(answer, z, p)
        t, c = h * w // p**2, d * p**2
        if got.shape == (b, c, t) and c != t:
            raise Wrong("Channels and tokens are swapped: tokens come first.")
        expect_shape(got, (b, t, c), "one token for each patch")
        true = F.unfold(z, p, stride=p).mT
        parts = z.view(b, d, h // p, p, w // p, p)
        slips = [
            (
                z.reshape(b, t, c),
                "A reshape alone mixes places: split rows and columns first.",
            ),
            (
                parts.permute(0, 4, 2, 1, 3, 5).reshape(b, t, c),
                "The patches go column by column: go row by row.",
            ),
            (
                parts.permute(0, 2, 4, 3, 5, 1).reshape(b, t, c),
                "The channel comes last in your tokens: it comes first.",
            ),
            (
                parts.permute(0, 2, 4, 1, 5, 3).reshape(b, t, c),
                "Rows and columns inside a patch are swapped.",
            ),
            (true.flip(1), "The patches stand in the reverse order."),
        ]
        compare(got, true, slips, "`F.unfold` or six dimensions and one permutation.")
    return "A diffusion Transformer reads such tokens; p decides how many there are."


@exercise
def lora(answer):
    """answer(x, W, A, B, alpha): (N, in), (out, in), (r, in), (out, r), float ->
    (N, out), the layer with its low-rank update."""
    for n, i, o, r, alpha in [(4, 6, 5, 2, 8.0), (3, 3, 3, 1, 0.5), (2, 4, 7, 3, 1.0)]:
        x, w = torch.randn(n, i), torch.randn(o, i)
        a, b = torch.randn(r, i), torch.randn(o, r)
        got = call(answer, x, w, a, b, alpha)
        expect_shape(got, (n, o), "what the layer returns")
        base, update = x @ w.T, x @ a.T @ b.T
        true = base + alpha / r * update
        slips = [
            (base, "The update is missing."),
            (alpha / r * update, "Only the update is there: the layer itself stays."),
            (base + update, "The factor alpha / r is missing."),
            (base + alpha * update, "Divide alpha by the rank r."),
            (base - alpha / r * update, "The update is added, not subtracted."),
            (base + update / r, "alpha is missing."),
            (base + alpha / r**0.5 * update, "Divide by r, not by its root."),
            (base + r / alpha * update, "The factor is turned over: alpha / r."),
        ]
        hint = "x goes through A, then through B; the shapes leave no choice."
        compare(got, true, slips, hint)
    return "With B = 0 at first nothing changes, and only r (in + out) numbers learn."
