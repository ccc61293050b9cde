"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the samplers chapter."""

import math

import torch

from aigc_lib.exercises import samplers as check
from aigc_lib.sample.diffusion import timesteps

__all__ = ["RIGHT", "WRONG", "check"]


def slope(D, x, sigma):
    return (x - D(x, sigma)) / sigma


def flow_by_many_steps(x, now, then, m, s):
    """Heun's method in the exact denoiser's own words, in float64; near level 0 its steps are short."""
    x = x.double()
    levels = torch.linspace(now**0.5, then**0.5, 1001).square().tolist()

    def D(x, sigma):
        return (s**2 * x + sigma**2 * m) / (s**2 + sigma**2)

    for a, b in zip(levels, levels[1:], strict=False):
        first = slope(D, x, a)
        second = slope(D, x + (b - a) * first, b) if b > 0 else first
        x = x + (b - a) * (first + second) / 2
    return x


def midpoint(D, x, now, then, middle=None):
    middle = (now + then) / 2 if middle is None else middle
    half = x + (middle - now) * slope(D, x, now)
    return x + (then - now) * slope(D, half, middle)


def heun(D, x, now, then):
    first = slope(D, x, now)
    return x + (then - now) * (first + slope(D, x + (then - now) * first, then)) / 2


def sde(D, x, now, then, kappa, z, drift=1.0, noise=1.0):
    score = (D(x, now) - x) / now**2
    moved = x + drift * (now + kappa) * (now - then) * score
    return moved + noise * (2 * kappa * (now - then)) ** 0.5 * z


def ddim(x0, xa, a, b):
    eps = (xa - math.sqrt(a) * x0) / math.sqrt(1 - a)
    return math.sqrt(b) * x0 + math.sqrt(1 - b) * eps


def target_by_two_points(xa, xb, a, b):
    """DDIM's step is linear in x0: the line through its values at x0 = 0 and x0 = 1."""
    zero, one = torch.zeros_like(xa), torch.ones_like(xa)
    low, high = ddim(zero, xa, a, b), ddim(one, xa, a, b)
    return (xb - low) / (high - low)


def fixed_point(D, x, now, then, rounds, ask=None, sign=1):
    y = x
    for _ in range(rounds):
        y = x + sign * (then - now) * slope(D, y, then if ask is None else ask)
    return y


def fixed_point_by_recursion(D, x, now, then, rounds):
    if rounds == 0:
        return x.clone()
    y = fixed_point_by_recursion(D, x, now, then, rounds - 1)
    return x + (then - now) / then * (y - D(y, then))


def wander(D, x, now, then, rounds):
    for _ in range(rounds):
        x = x + (then - now) * slope(D, x, then)
    return x


def kept(strength, steps, n):
    every = timesteps(n, steps)
    return every[every < strength * n]


RIGHT = {
    "score": [
        lambda x0, xt, a: (math.sqrt(a) * x0 - xt) / (1 - a),
        lambda x0, xt, a: ((x0 - xt / a**0.5) / ((1 - a) / a)) / a**0.5,
        lambda x0, xt, a: (
            torch.distributions.Normal(a**0.5 * x0, (1 - a) ** 0.5).log_prob(xt) * 0 - (xt - a**0.5 * x0) / (1 - a)
        ),
    ],
    "gaussian_flow": [
        lambda x, now, then, m, s: m + (x - m) * math.sqrt((s * s + then * then) / (s * s + now * now)),
        lambda x, now, then, m, s: torch.lerp(torch.full_like(x, m), x, math.hypot(s, then) / math.hypot(s, now)),
        flow_by_many_steps,
    ],
    "times_of": [
        kept,
        lambda strength, steps, n: torch.tensor(
            [t for t in timesteps(n, steps).tolist() if t < strength * n], dtype=torch.int64
        ),
        lambda strength, steps, n: timesteps(n, steps).masked_select(timesteps(n, steps) / n < strength),
    ],
    "midpoint": [
        midpoint,
        lambda D, x, now, then: (
            x
            + (then - now)
            * 2
            / (now + then)
            * (
                (x + (then - now) / 2 * (x - D(x, now)) / now)
                - D(x + (then - now) / 2 * (x - D(x, now)) / now, (now + then) / 2)
            )
        ),
    ],
    "sde_step": [
        sde,
        lambda D, x, now, then, kappa, z: (
            x
            + (then - now) * (1 + kappa / now) * (x - D(x, now)) / now
            + math.sqrt(2 * kappa) * math.sqrt(now - then) * z
        ),
    ],
    "distill_target": [
        lambda xa, xb, a, b: (
            (xb - math.sqrt((1 - b) / (1 - a)) * xa) / (math.sqrt(b) - math.sqrt((1 - b) / (1 - a)) * math.sqrt(a))
        ),
        lambda xa, xb, a, b: (
            (math.sqrt(1 - a) * xb - math.sqrt(1 - b) * xa) / (math.sqrt(b * (1 - a)) - math.sqrt(a * (1 - b)))
        ),
        target_by_two_points,
    ],
    "invert_step": [fixed_point, fixed_point_by_recursion],
}

WRONG = {
    "score": [
        (lambda x0, xt, a: (xt - math.sqrt(a) * x0) / (1 - a), "towards x0"),
        (lambda x0, xt, a: (math.sqrt(a) * x0 - xt) / math.sqrt(1 - a), "once more"),
        (lambda x0, xt, a: (xt - math.sqrt(a) * x0) / math.sqrt(1 - a), "noise itself"),
        (lambda x0, xt, a: (x0 - xt / math.sqrt(a)) * a / (1 - a), "a unit of x_t"),
        (lambda x0, xt, a: (x0 - xt) / (1 - a), "scaled by"),
        (lambda x0, xt, a: (math.sqrt(a) * x0 - xt) / a, "signal's variance"),
        (lambda x0, xt, a: ((math.sqrt(a) * x0 - xt) / (1 - a)).sum(1), "shape"),
        (lambda x0, xt, a: x0 - xt, "off"),
    ],
    "gaussian_flow": [
        (lambda x, now, then, m, s: x * math.hypot(s, then) / math.hypot(s, now), "centre of the data"),
        (lambda x, now, then, m, s: m + (x - m) * (s**2 + then**2) / (s**2 + now**2), "ratio of the variances"),
        (lambda x, now, then, m, s: m + (x - m) * then / now, "in one point"),
        (lambda x, now, then, m, s: m + (x - m) * math.hypot(s, now) / math.hypot(s, then), "upside down"),
        (lambda x, now, then, m, s: x + (then - now) * (x - m) * now / (s**2 + now**2), "Euler"),
        (lambda x, now, then, m, s: x, "off"),
        (lambda x, now, then, m, s: m + (x - m) * (s**2 + then**2) ** 0.5, "off"),
    ],
    "times_of": [
        (lambda strength, steps, n: timesteps(n, steps), "all times"),
        (lambda strength, steps, n: kept(strength, steps, n).flip(0), "rise"),
        (lambda strength, steps, n: timesteps(n, steps)[timesteps(n, steps) >= strength * n], "noisiest"),
        (lambda strength, steps, n: torch.linspace(strength * n - 1, 0, steps).round().long(), "new times"),
        (lambda strength, steps, n: kept(strength, steps, n).float(), "int64"),
        (lambda strength, steps, n: timesteps(n, steps)[int((1 - strength) * steps) + 1 :], "times: expected"),
        (lambda strength, steps, n: kept(strength, steps, n) + 1, "not their values|times: expected"),
    ],
    "midpoint": [
        (lambda D, x, now, then: x + (then - now) * slope(D, x, now), "Euler"),
        (heun, "Heun"),
        (lambda D, x, now, then: x + (then - now) / 2 * slope(D, x, now), "stop in the middle"),
        (
            lambda D, x, now, then: (
                (h := x + (then - now) / 2 * slope(D, x, now)) + (then - now) / 2 * slope(D, h, (now + then) / 2)
            ),
            "at x, not in the middle",
        ),
        (
            lambda D, x, now, then: x + (then - now) * slope(D, x + (then - now) / 2 * slope(D, x, now), now),
            "noise level is another",
        ),
        (
            lambda D, x, now, then: x + (then - now) * slope(D, x + (then - now) / 2 * slope(D, x, now), then),
            "not `then` yet",
        ),
        (lambda D, x, now, then: x + (then - now) * slope(D, x, (now + then) / 2), "still at the place x"),
        (lambda D, x, now, then: midpoint(D, x, now, then, (now * then) ** 0.5), "off"),
    ],
    "sde_step": [
        (lambda *a: sde(*a, noise=0.0), "missing"),
        (
            lambda D, x, now, then, k, z: x + (now - then) * (D(x, now) - x) / now + (2 * k * (now - then)) ** 0.5 * z,
            "drift grows",
        ),
        (
            lambda D, x, now, then, k, z: sde(D, x, now, then, k, z, noise=0.0) + 2 * k * (now - then) * z,
            "take the root",
        ),
        (
            lambda D, x, now, then, k, z: sde(D, x, now, then, k, z, noise=0.0) + (2 * k) ** 0.5 * (now - then) * z,
            "grows with its root",
        ),
        (lambda *a: sde(*a, noise=0.5**0.5), "2 kappa"),
        (lambda *a: sde(*a, drift=-1.0), "away from the data"),
        (
            lambda D, x, now, then, k, z: (
                x + (1 + k) * (now - then) * (D(x, now) - x) / now + (2 * k * (now - then)) ** 0.5 * z
            ),
            "not its share",
        ),
        (lambda D, x, now, then, k, z: sde(D, x, now, then, k, torch.randn_like(z)), "off"),
    ],
    "distill_target": [
        (lambda xa, xb, a, b: xb, "where the step ends"),
        (lambda xa, xb, a, b: xb / math.sqrt(b), "holds noise"),
        (lambda xa, xb, a, b: (xb - math.sqrt((1 - b) / (1 - a)) * xa) / math.sqrt(b), "collect both"),
        (
            lambda xa, xb, a, b: (
                (xb - math.sqrt((1 - b) / (1 - a)) * xa) / (math.sqrt(b) + math.sqrt((1 - b) / (1 - a)) * math.sqrt(a))
            ),
            "sign",
        ),
        (
            lambda xa, xb, a, b: (xb - (1 - b) / (1 - a) * xa) / (math.sqrt(b) - (1 - b) / (1 - a) * math.sqrt(a)),
            "their roots",
        ),
        (lambda xa, xb, a, b: xb - xa, "off"),
    ],
    "invert_step": [
        (lambda D, x, now, then, rounds: fixed_point(D, x, now, then, 1), "first guess"),
        (lambda D, x, now, then, rounds: fixed_point(D, x, now, then, rounds + 1), "too many"),
        (lambda D, x, now, then, rounds: fixed_point(D, x, now, then, rounds - 1), "too few"),
        (lambda D, x, now, then, rounds: fixed_point(D, x, now, then, rounds, ask=now), "`now`"),
        (lambda D, x, now, then, rounds: fixed_point(D, x, now, then, rounds, sign=-1), "sign"),
        (wander, "starts at x again"),
        (lambda D, x, now, then, rounds: x, "too few|off"),
    ],
}
