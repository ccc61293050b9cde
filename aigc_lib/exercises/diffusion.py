"""Checks for the exercises of the diffusion chapter."""

import torch

from aigc_lib import diffusion
from aigc_lib.exercises.diffusion_exact import (
    bound_term,
    class_posterior,
    denoiser_from_density,
    step_back,
)
from aigc_lib.exercises.verdict import (
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)

__all__ = [
    "log_snr_schedule",
    "jump",
    "v_to_eps",
    "step_back",
    "min_snr",
    "bound_term",
    "denoiser_from_density",
    "class_posterior",
]


@exercise
def log_snr_schedule(answer):
    """answer(n, high, low): -> (n,) alpha_bar; its log SNR falls on a line."""
    for n, high, low in [(5, 4.0, -4.0), (2, 6.0, -9.0), (7, 120.0, -100.0)]:
        got = call(answer, n, high, low)
        expect_shape(got, (n,), "one value per step")
        expect_finite(
            got,
            "exp(100) is too large for 32 bits: "
            "divide numerator and denominator by it, or use torch.sigmoid.",
        )
        level = torch.linspace(high, low, n)
        true = level.sigmoid()
        cut = torch.linspace(high, low, n + 1)
        half = "Both ends of the line belong to the schedule: check your first and last"
        slips = [
            (level, "That is the log SNR itself: solve it for alpha_bar."),
            (level.exp(), "That is the SNR: solve alpha_bar / (1 - alpha_bar) = SNR."),
            (
                1 - true,
                "That is the share of the noise, or the line rises: alpha_bar "
                "is near 1 where the log SNR is high, and this comes first.",
            ),
            (true.sqrt(), "That is the root of alpha_bar, the factor of x_0."),
            (
                (2 * level).sigmoid(),
                "You square the SNR: alpha_bar / (1 - alpha_bar) "
                "is the SNR itself, and its logarithm the line.",
            ),
            (
                (level / 2).sigmoid(),
                "You take the root of the SNR: alpha_bar / "
                "(1 - alpha_bar) is the SNR itself, and its logarithm the line.",
            ),
            (cut[:-1].sigmoid(), f"{half} value."),
            (cut[1:].sigmoid(), f"{half} value."),
            (
                torch.linspace(float(true[0]), float(true[-1]), n),
                "You put alpha_bar on a line: put its log SNR there.",
            ),
        ]
        hint = "At log SNR 0 signal and noise are equal: alpha_bar is 1/2 there."
        compare(got, true, slips, hint)
    return "A schedule is nothing but a list of signal-to-noise ratios."


@exercise
def jump(answer):
    """answer(xr, r, t, eps, alpha_bar): xr at times r -> (B, C, H, W) at times t."""
    alpha_bar = diffusion.cosine_schedule(50)
    for shape in [(4, 1, 3, 5), (1, 2, 2, 2), (3, 1, 2, 3)]:  # the last has B = W
        xr, eps = torch.randn(shape), torch.randn(shape)
        r = torch.randint(0, 20, shape[:1])
        t = r + torch.randint(1, 25, shape[:1])
        a, b = (alpha_bar[time].view(-1, 1, 1, 1) for time in (r, t))
        keep = b / a
        got = call(answer, xr, r, t, eps, alpha_bar)
        expect_shape(got, shape, "like the images")
        true = keep.sqrt() * xr + (1 - keep).sqrt() * eps
        expect_finite(
            got, "Something under a root is negative: alpha_bar falls with time."
        )
        along = keep.flatten() if shape[0] == shape[-1] else torch.ones(shape[-1])
        slips = [
            (
                b.sqrt() * xr + (1 - b).sqrt() * eps,
                "You treat x_r as if it were x_0: part of the shrinking "
                "is done already.",
            ),
            (
                keep.sqrt() * xr + (1 - b).sqrt() * eps,
                "The noise is too much: x_r holds some already, and it is shrunk too.",
            ),
            (
                keep.sqrt() * xr + ((1 - b).sqrt() - (1 - a).sqrt()) * eps,
                "You subtract standard deviations: variances add up.",
            ),
            (
                keep.sqrt() * xr + (a - b).sqrt() * eps,
                "The noise in x_r is shrunk on the way too: the variance of "
                "the new noise is not the difference of the two.",
            ),
            (
                keep * xr + (1 - keep) * eps,
                "Those are shares of the variance: x is multiplied by their roots.",
            ),
            (
                along.sqrt() * xr + (1 - along).sqrt() * eps,
                "Your factors run along the width of the images: give them the shape "
                "(B, 1, 1, 1).",
            ),
        ]
        hint = "If x_r has variance 1, x_t must have variance 1: check your two factors"
        compare(got, true, slips, f"{hint}, squared.")
    return "With r = t - 1 this is one step, and from the datum it is the closed form."


@exercise
def v_to_eps(answer):
    """answer(v, xt, a): alpha_bar a (B, 1, 1, 1) -> eps (B, C, H, W)."""
    for shape in [(5, 1, 3, 4), (2, 3, 2, 2)]:
        x0, eps = torch.randn(shape), torch.randn(shape)
        a = torch.rand(shape[0], 1, 1, 1)
        a[0], a[1] = 1.0, 0.0
        high, low = a.sqrt(), (1 - a).sqrt()
        xt, v = high * x0 + low * eps, high * eps - low * x0
        got = call(answer, v, xt, a)
        expect_shape(got, shape, "like v")
        expect_finite(
            got,
            "You divide by a root that can be 0: "
            "a rotation is undone without any division.",
        )
        slips = [
            (x0, "That is x_0: the noise is the other direction."),
            (
                high * v - low * xt,
                "The sign of one part is wrong: put in the "
                "definitions of v and x_t, and see what cancels.",
            ),
            (
                low * xt - high * v,
                "The sign of one part is wrong: put in the "
                "definitions of v and x_t, and see what cancels.",
            ),
            (
                high * xt + low * v,
                "The two roots are exchanged: at alpha_bar = 1 there "
                "is no noise in x_t, and v is the noise.",
            ),
            ((1 - a) * xt + a * v, "Take roots: their squares add up to 1."),
        ]
        compare(got, eps, slips, "At alpha_bar = 0 x_t itself is the noise.")
    return "One rotation: the first row gives x_0, the second the noise."


@exercise
def min_snr(answer):
    """answer(kind, snr, gamma) -> (n,), weights on the squared error of that kind."""
    snr = torch.tensor([1e-6, 0.02, 0.7, 1.0, 4.0, 5.0, 30.0, 1e5])
    for gamma in (5.0, 1.0):
        for kind in diffusion.KINDS:
            got = call(answer, kind, snr, gamma)
            expect_shape(got, snr.shape, "one weight per noise level")
            capped = snr.clamp(max=gamma)
            has = {"eps": snr, "x0": torch.ones_like(snr), "v": snr + 1}
            slips = [
                (
                    snr.clamp(min=gamma) / has[kind],
                    "You take the larger of SNR and gamma: the cap is the smaller one.",
                ),
                (snr / has[kind], "There is no cap: look at SNR above gamma."),
                (
                    capped,
                    f"For {kind!r}: this is the weight on the error of x_0. The "
                    "squared error of this kind has a weight already: divide by it.",
                ),
                (
                    capped * has[kind],
                    f"For {kind!r}: you multiply by the weight that "
                    "this error has already: divide by it.",
                ),
                *(
                    (
                        capped / has[other],
                        f"For {kind!r}: those are the weights for {other!r}.",
                    )
                    for other in has
                ),
                (capped / snr.square(), f"For {kind!r}: you divide twice by the SNR."),
            ]
            hint = f"For {kind!r}: weight times squared error must be min(SNR, gamma) "
            if not same(got, capped / has[kind]):
                compare(got, capped / has[kind], slips, f"{hint}times that of x_0.")
    return "One weight, three ways to write it down."
