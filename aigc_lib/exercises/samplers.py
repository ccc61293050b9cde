"""Checks for the exercises of the samplers chapter."""

import math

import torch

from aigc_lib.exercises.samplers_steps import (
    distill_target,
    invert_step,
    midpoint,
    sde_step,
)
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)
from aigc_lib.sample.diffusion import timesteps

__all__ = [
    "score",
    "gaussian_flow",
    "times_of",
    "midpoint",
    "sde_step",
    "distill_target",
    "invert_step",
]


@exercise
def score(answer):
    """answer(x0, xt, a): expected x0 and x_t, both (B, C), and alpha_bar at t, a
    number -> (B, C), the slope of log p_t at x_t."""
    for shape, a in [((4, 3), 0.3), ((1, 5), 0.9), ((6, 1), 0.02)]:
        x0, xt = torch.randn(shape), torch.randn(shape)
        got = call(answer, x0, xt, a)
        expect_shape(got, shape, "one slope for each coordinate of x_t")
        eps = (xt - math.sqrt(a) * x0) / math.sqrt(1 - a)
        true = -eps / math.sqrt(1 - a)
        slips = [
            (-true, "The sign is the other way round: the slope points towards x0."),
            (-eps, "That is minus the noise: divide once more by its deviation."),
            (eps, "That is the noise itself: the slope points the other way."),
            (
                math.sqrt(a) * true,
                "That is the slope at x_t / sqrt(a), for the density of that: "
                "a unit of x_t is 1 / sqrt(a) units of it.",
            ),
            (
                (x0 - xt) / (1 - a),
                "x_t is not x0 plus noise: x0 comes into it scaled by sqrt(a).",
            ),
            (
                (math.sqrt(a) * x0 - xt) / a,
                "You divide by the signal's variance: the noise's is 1 - a.",
            ),
        ]
        hint = "For data that are all 0, x_t is normal with variance 1 - a: try x0 = 0."
        compare(got, true, slips, hint)
    return "Noise, x0 and the score say the same in three units."


@exercise
def gaussian_flow(answer):
    """answer(x, now, then, m, s): x (B, C) at noise level now -> (B, C), where the
    probability-flow ODE carries it at level then, for data of N(m, s^2 I)."""
    cases = [(3.0, 0.5, 1.5, 0.7), (2.0, 0.0, -1.0, 0.3), (0.5, 4.0, 0.8, 1.2)]
    for now, then, m, s in [*cases, (2.0, 1.0, 0.5, 0.0)]:
        x = torch.randn(5, 3) * now + m
        got = call(answer, x, now, then, m, s)
        expect_shape(got, x.shape, "one place for each x")
        expect_finite(got, "s and then may be 0, never both: what do you divide by?")
        ratio = math.sqrt((s**2 + then**2) / (s**2 + now**2))
        true = m + (x - m) * ratio
        slips = [
            (x * ratio, "You pull towards 0: the centre of the data is m."),
            (
                m + (x - m) * ratio**2,
                "You scale by the ratio of the variances: "
                "the distance from m goes with the deviation.",
            ),
            (
                m + (x - m) * then / now,
                "That is right for data in one point: "
                "the density's variance is s^2 plus the noise's.",
            ),
            (
                m + (x - m) / max(ratio, 1e-9),
                "The ratio is upside down: less noise, smaller distance from m.",
            ),
            (
                x + (then - now) * (x - m) * now / (s**2 + now**2),
                "That is one step of Euler's method: here the exact curve is asked.",
            ),
        ]
        hint = (
            "At each level x is normal, with mean m and variance s^2 + sigma^2, and "
            "the ODE keeps how many deviations a point is away from m."
        )
        compare(got, true, slips, hint)
    return "Here no solver is needed; against it you can measure any of them."


@exercise
def times_of(answer):
    """answer(strength, steps, n): a share, and two whole numbers -> (K,) int64, those
    of timesteps(n, steps) that lie below strength * n."""
    cases = [(0.5, 10, 1000), (1.0, 7, 100), (0.0, 5, 50), (0.33, 20, 400)]
    for strength, steps, n in [*cases, (0.75, 4, 4)]:
        got = call(answer, strength, steps, n)
        every = timesteps(n, steps)
        true = every[every < strength * n]
        if got.ndim != 1:
            raise Wrong(f"Your times have shape {tuple(got.shape)}: expected a list.")
        if got.dtype != torch.int64:
            raise Wrong(
                f"Your times have the dtype {got.dtype}: expected torch.int64, "
                f"which a network's t has."
            )
        if got.shape == true.shape and same(got, true):
            continue
        if same(got, every):
            raise Wrong("You return all times: a strength below 1 leaves some out.")
        if same(got, true.flip(0)):
            raise Wrong("Your times rise: a sampler goes from high noise to low.")
        if same(got, every[every >= strength * n]):
            raise Wrong(
                "You keep the noisiest times: an edit starts in the middle "
                "and goes to the end."
            )
        if 0 < strength < 1 and len(got) == steps:
            raise Wrong(
                f"You make {steps} new times: take the same grid as for a whole "
                f"sample, and leave out its beginning."
            )
        if got.shape == true.shape:
            raise Wrong("Their number is right, not their values: see `timesteps`.")
        raise Wrong(
            f"For strength {strength}, {steps} steps and n = {n} you give "
            f"{got.numel()} times: expected {len(true)}."
        )
    return "At strength 0 there is no step, and the picture stays as it is."
