"""Checks for the chapter on latent diffusion: masks, patches and small updates."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import Wrong, call, compare, exercise, expect_shape


@exercise
def latent_mask(answer):
    """answer(mask): (B, 1, H, W) of 0 and 1, 1 where a pixel is known -> (B, 1, H/4,
    W/4), 1 where all 16 pixels are known."""
    for b, h, w in [(3, 8, 12), (1, 32, 32), (2, 4, 16)]:
        mask = (torch.rand(b, 1, h, w) < 0.97).float()
        mask[:, :, :, -4:] = 1.0
        mask[:, :, :4, :4] = 0.0
        mask[:, :, 1, 1] = 1.0  # one pixel of an unknown block
        mask[:, :, 1, w - 7] = mask[:, :, 0, 4] = 0.0  # pixels of known blocks
        got = call(answer, mask)
        if got.dtype in (torch.bool, torch.int64, torch.int32):
            got = got.float()
        expect_shape(got, (b, 1, h // 4, w // 4), "one number for 4x4 pixels")
        true = -F.max_pool2d(-mask, 4)
        mean = F.avg_pool2d(mask, 4)
        slips = [
            (
                F.max_pool2d(mask, 4),
                "One known pixel is not enough: all 16 must be known.",
            ),
            (mean.round(), "Half is not enough: all 16 must be known."),
            (1 - true, "It is turned over: 1 means known."),
            (mean, "These are shares: only a share of 1 is known."),
            (mask[:, :, ::4, ::4], "You look at one pixel of 16."),
            (torch.ones_like(true), "Nothing is left to be filled in."),
        ]
        compare(got, true, slips, "A place of the latents stands for 4x4 pixels.")
    return "An unknown pixel spoils its whole place, so the hole grows to full places."


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
