"""Checks for the samplers chapter's exercises that ask for one step of a solver."""

import math

import torch
from torch import Tensor

from aigc_lib.exercises.verdict import call, compare, exercise, expect_shape


def two_points(x: Tensor, sigma: float) -> Tensor:
    """E[x0 | x0 + sigma eps = x] when each coordinate of x0 is -1 or 1, by chance."""
    return (x / sigma**2).tanh()


def slope(D, x: Tensor, sigma: float) -> Tensor:
    """dx / dsigma of the probability-flow ODE."""
    return (x - D(x, sigma)) / sigma


@exercise
def midpoint(answer):
    """answer(D, x, now, then): a denoiser, x (B, C) and two noise levels -> (B, C), x
    at level `then` by the midpoint method."""
    for now, then in [(3.0, 2.0), (1.0, 0.4), (0.8, 1.5)]:
        x, h = 2 * torch.randn(6, 2), then - now
        got = call(answer, two_points, x, now, then)
        expect_shape(got, x.shape, "like x")
        first, middle = slope(two_points, x, now), now + h / 2
        half = x + h / 2 * first
        second = slope(two_points, half, middle)
        end = slope(two_points, x + h * first, then)
        slips = [
            (x + h * first, "That is Euler's step: ask the denoiser a second time."),
            (
                x + h * (first + end) / 2,
                "That is Heun's step: take one slope, in the middle.",
            ),
            (half, "You stop in the middle: from x make the whole step."),
            (half + h / 2 * second, "Start the whole step at x, not in the middle."),
            (half + h * second, "Start the whole step at x, not in the middle."),
            (
                x + h * slope(two_points, half, now),
                "At the point in the middle the noise level is another.",
            ),
            (
                x + h * slope(two_points, half, then),
                "At the point in the middle the noise level is not `then` yet.",
            ),
            (
                x + h * slope(two_points, x, middle),
                "You ask at the middle level, but still at the place x: move it first.",
            ),
        ]
        hint = (
            "Half a step with the first slope, there a second slope, "
            "then the whole step from x with the second slope alone."
        )
        compare(got, x + h * second, slips, hint)
    return "Two calls a step, and the order is 2, as with Heun's method."


@exercise
def sde_step(answer):
    """answer(D, x, now, then, kappa, z): a denoiser, x (B, C), two noise levels, kappa
    and standard normal noise z like x -> (B, C), x at level `then`."""
    for now, then, kappa in [(2.0, 1.7, 0.7), (1.0, 0.9, 3.0), (0.5, 0.4, 0.0)]:
        x, z, fall = torch.randn(6, 2), torch.randn(6, 2), now - then
        got = call(answer, two_points, x, now, then, kappa, z)
        expect_shape(got, x.shape, "like x")
        s = (two_points(x, now) - x) / now**2
        drift, noise = (now + kappa) * fall * s, math.sqrt(2 * kappa * fall) * z
        slips = [
            (x + drift, "The noise is missing: kappa is about it."),
            (
                x + now * fall * s + noise,
                "You add noise without taking more away: the drift grows with kappa.",
            ),
            (
                x + drift + 2 * kappa * fall * z,
                "You scale the noise by its variance: take the root.",
            ),
            (
                x + drift + math.sqrt(2 * kappa) * fall * z,
                "The variance grows with the length of the step, so the deviation "
                "grows with its root.",
            ),
            (x + drift + math.sqrt(kappa * fall) * z, "The variance is 2 kappa fall."),
            (
                x - drift + noise,
                "You drift away from the data: as sigma falls, go up the slope.",
            ),
            (
                x + (1 + kappa) * now * fall * s + noise,
                "Here kappa itself is given, not its share of sigma.",
            ),
            (
                x + (now + kappa) * fall * (two_points(x, now) - x) + noise,
                "D - x is not the score yet: what does Tweedie's formula divide by?",
            ),
        ]
        hint = (
            "x + (now + kappa) (now - then) score + noise: "
            "with kappa = 0 it is Euler's step."
        )
        compare(got, x + drift + noise, slips, hint)
    return "Every kappa has the same densities, if the steps are small."


@exercise
def distill_target(answer):
    """answer(xa, xb, a, b): where one step starts and should end, both (B, C), and
    alpha_bar there, two numbers -> (B, C), the x0 that makes DDIM go from xa to xb."""
    for a, b in [(0.2, 0.6), (1e-6, 0.5), (0.5, 1.0)]:
        xa, xb = torch.randn(5, 2), torch.randn(5, 2)
        got = call(answer, xa, xb, a, b)
        expect_shape(got, xa.shape, "like xa")
        share = math.sqrt((1 - b) / (1 - a))  # of the noise that stays
        x0 = (xb - share * xa) / (math.sqrt(b) - share * math.sqrt(a))
        slips = [
            (xb, "That is where the step ends. With noise left in it, it is no x0."),
            (xb / math.sqrt(b), "xb holds noise as well, unless b is 1."),
            (
                (xb - share * xa) / math.sqrt(b),
                "The noise that xa stands for depends on x0 as well: collect both.",
            ),
            (
                (xb - share * xa) / (math.sqrt(b) + share * math.sqrt(a)),
                "Check a sign in what x0 is multiplied by.",
            ),
            (
                (xb - share**2 * xa) / (math.sqrt(b) - share**2 * math.sqrt(a)),
                "Variances 1 - a and 1 - b: the noise itself goes with their roots.",
            ),
        ]
        hint = (
            "Write DDIM's step with eps = (xa - sqrt(a) x0) / sqrt(1 - a) put in, "
            "and solve for x0. At b = 1 it is xb."
        )
        compare(got, x0, slips, hint)
    return "Trained on it, the student lands where the teacher's two steps end."


@exercise
def invert_step(answer):
    """answer(D, x, now, then, rounds): a denoiser, x (B, C) at the low noise level
    `now` -> (B, C) at the high one `then`, from where Euler's step leads to x."""
    # At these levels each round brings the guess nearer by a factor of more than 3.
    for now, then in [(2.0, 2.8), (3.0, 4.0)]:
        x, h = 2 * torch.randn(6, 2, dtype=torch.float64), then - now
        for rounds in (60, 1, 2):
            got = call(answer, two_points, x, now, then, rounds)
            expect_shape(got, x.shape, "like x")
            slips = [
                (_rounds(x, h, now, rounds), _LOW),
                (_rounds(x, h, now, 1), _LOW),
                (_rounds(x, -h, then, rounds), "Noise is added here: check the sign."),
                (_rounds(x, h, then, rounds - 1), "You make one round too few."),
                (_rounds(x, h, then, rounds + 1), "You make one round too many."),
                (
                    _rounds(x, h, then, 1),
                    "One round is a first guess: put it into the next one.",
                ),
                (
                    _rounds(x, h, then, rounds, onward=True),
                    "Each round starts at x again: "
                    "yours start where the last one ended.",
                ),
            ]
            hint = (
                "Start with y = x, and in each round put y = x + (then - now) slope, "
                "with the slope at y and at the level `then`."
            )
            compare(got, _rounds(x, h, then, rounds), slips, hint)
    return "Euler's step from there leads back, up to rounding."


_LOW = "You ask at the level `now`: the step to undo asked at the level `then`."


def _rounds(x: Tensor, h: float, sigma: float, rounds: int, onward=False) -> Tensor:
    y = x
    for _ in range(rounds):
        y = (y if onward else x) + h * slope(two_points, y, sigma)
    return y
