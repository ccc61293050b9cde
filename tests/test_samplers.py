"""Samplers of diffusion: laws with denoisers that are known exactly, and what bad input looks like.

GAUSSIAN data N(MEAN, DEVIATION^2) have a linear denoiser, and the exact solution of the probability-flow equation: a
point keeps its distance to the mean in standard deviations, at every time.
"""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from aigc_lib import diffusion
from aigc_lib.sample.diffusion import (
    ancestral,
    ddim,
    denoiser,
    dpm_solver,
    inpaint,
    invert,
    last,
    timesteps,
)

N = 200
ALPHA_BAR = diffusion.cosine_schedule(N)
MEAN, DEVIATION = 0.6, 0.3


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def gaussian(alpha_bar=ALPHA_BAR):
    """The exact denoiser of N(MEAN, DEVIATION^2)."""

    def denoise(xt, t):
        a = diffusion.at(alpha_bar, t, xt)
        gain = a.sqrt() * DEVIATION**2 / (a * DEVIATION**2 + 1 - a)
        return MEAN + gain * (xt - a.sqrt() * MEAN)

    return denoise


def flow(x, a, b):
    """Where the probability flow of the Gaussian carries x from alpha_bar = a to b: exact."""
    spread = math.sqrt((b * DEVIATION**2 + 1 - b) / (a * DEVIATION**2 + 1 - a))
    return math.sqrt(b) * MEAN + spread * (x - math.sqrt(a) * MEAN)


def certain(x0):
    """The denoiser of a data set of one point for each row."""
    return lambda xt, t: x0.expand_as(xt)


def spied(denoise, seen):
    """The same denoiser; the times that it is asked for go into `seen`."""

    def spy(xt, t):
        assert t.shape == xt.shape[:1] and t.dtype == torch.int64
        assert len(t.unique()) == 1
        seen.append(int(t[0]))
        return denoise(xt, t)

    return spy


def samplers(x, steps=10):
    """Each sampler as a function of a denoiser and a generator."""
    times = timesteps(N, steps)
    half = torch.zeros_like(x)
    half[:, ::2] = 1
    return {
        "ancestral": lambda d, g: ancestral(d, x, ALPHA_BAR, g),
        "ddim": lambda d, g: ddim(d, x, ALPHA_BAR, times, generator=g),
        "ddim, eta 1": lambda d, g: ddim(d, x, ALPHA_BAR, times, eta=1.0, generator=g),
        "dpm_solver": lambda d, g: dpm_solver(d, x, ALPHA_BAR, times),
        "inpaint": lambda d, g: inpaint(d, x, x, half, ALPHA_BAR, times, repeats=3, generator=g),
    }


NAMES = tuple(samplers(torch.zeros(1, 1)))
each = pytest.mark.parametrize("name", NAMES)


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_any_number_of_steps_begins_at_the_last_time_and_is_even(n):
    for steps in range(1, n + 1):
        times = timesteps(n, steps)
        assert times.dtype == torch.int64 and times.shape == (steps,)
        assert times[0] == n - 1 and times[-1] >= 0
        whole = [*times.tolist(), -1]  # the datum stands before time 0
        gaps = {a - b for a, b in pairwise(whole)}
        assert gaps <= {n // steps, n // steps + 1}
    assert timesteps(n, n).tolist() == list(range(n - 1, -1, -1))


def test_the_thousand_times_of_the_course():
    assert timesteps(1000, 4).tolist() == [999, 749, 499, 249]
    assert timesteps(1000, 3).tolist() == [999, 666, 332]


@each
def test_every_time_is_asked_for_in_turn(name):
    seen = []
    steps = list(samplers(normal(3, 4))[name](spied(gaussian(), seen), rng()))
    if name == "ancestral":
        assert seen == list(range(N - 1, -1, -1)) and len(steps) == N
    elif name == "inpaint":
        assert seen == [t for t in timesteps(N, 10).tolist() for _ in range(3)][:-2] and len(steps) == 10
    else:
        assert seen == timesteps(N, 10).tolist() and len(steps) == 10
    assert all(x.shape == x0.shape == (3, 4) for x, x0 in steps)


@each
def test_there_is_no_noise_at_the_last_step(name):
    x = normal(3, 4)
    for end, x0 in samplers(x)[name](gaussian(), rng()):  # noqa: B007
        pass
    if name == "inpaint":
        x0[:, ::2] = x[:, ::2]
    torch.testing.assert_close(end, x0)


@each
def test_what_is_certain_is_drawn_exactly(name):
    x0 = normal(3, 4, seed=5)
    end = last(samplers(normal(3, 4))[name](certain(x0), rng()))
    if name == "inpaint":
        x0[:, ::2] = normal(3, 4)[:, ::2]
    torch.testing.assert_close(end, x0)


@pytest.mark.parametrize("name", ["ddim", "dpm_solver"])
def test_with_one_datum_the_noise_is_kept(name):
    """Then the sample at every time is that of `q_sample`, with the noise there was at the beginning."""
    x0, x, times = normal(3, 4, seed=5), normal(3, 4), timesteps(N, 10)
    eps = diffusion.to_eps(x0, x, torch.full((3,), N - 1), ALPHA_BAR)
    found = [xt for xt, _ in samplers(x)[name](certain(x0), rng())]
    for t, xt in zip(times[1:], found, strict=False):
        torch.testing.assert_close(xt, diffusion.q_sample(x0, t.expand(3), eps, ALPHA_BAR))


@each
def test_the_same_noise_gives_the_same_sample_and_another_gives_another(name):
    x = normal(3, 4)
    a, b, c = (last(samplers(x)[name](gaussian(), rng(seed))) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert torch.equal(a, c) == (name in ("ddim", "dpm_solver"))  # these draw nothing
    before = x.clone()
    last(samplers(x)[name](gaussian(), rng()))
    assert torch.equal(x, before)


def test_ddim_without_eta_draws_nothing():
    generator = rng()
    state, everybodys = generator.get_state(), torch.get_rng_state()
    last(ddim(gaussian(), normal(3, 4), ALPHA_BAR, timesteps(N, 10), generator=generator))
    assert torch.equal(generator.get_state(), state) and torch.equal(torch.get_rng_state(), everybodys)


def test_ddim_with_eta_1_over_all_times_is_ancestral_sampling():
    x = normal(3, 4)
    ours = list(ddim(gaussian(), x, ALPHA_BAR, timesteps(N, N), eta=1.0, generator=rng()))
    theirs = list(ancestral(gaussian(), x, ALPHA_BAR, rng()))
    for (a, a0), (b, b0) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a0, b0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_any_eta_keeps_the_distribution(eta):
    times = timesteps(N, N)
    x = last(ddim(gaussian(), normal(20_000), ALPHA_BAR, times, eta=eta, generator=rng(1)))
    assert x.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert x.std().item() == pytest.approx(DEVIATION, rel=0.03)
    # But how much of the first noise is left depends on eta: all of it, or next to nothing.
    alike = torch.corrcoef(torch.stack((x, normal(20_000))))[0, 1]
    assert (alike > 0.999) if eta == 0 else (alike < 0.9 if eta == 0.5 else abs(alike) < 0.05)


def error(sampler, n, steps):
    """How far a sampler of `steps` ends from the exact flow."""
    alpha_bar, x = diffusion.cosine_schedule(n), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    end = last(sampler(gaussian(alpha_bar), x, alpha_bar, timesteps(n, steps)))
    return (end - flow(x, alpha_bar[-1].item(), 1.0)).abs().max().item()


@pytest.mark.parametrize("sampler, order", [(ddim, 1), (dpm_solver, 2)])
def test_twice_the_steps_divide_the_error_by_two_to_the_order(sampler, order):
    errors = [error(sampler, 1280, steps) for steps in (20, 40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.3)


def test_few_steps_of_the_second_order_are_worth_many_of_the_first():
    assert error(dpm_solver, 1000, 20) < error(ddim, 1000, 100)


def test_the_first_and_the_last_step_of_dpm_solver_are_those_of_ddim():
    x, times = normal(5), timesteps(N, 4)
    first, theirs = (next(sampler(gaussian(), x, ALPHA_BAR, times)) for sampler in (dpm_solver, ddim))
    torch.testing.assert_close(first, theirs)
    two, by_ddim = (list(sampler(gaussian(), x, ALPHA_BAR, times[:2])) for sampler in (dpm_solver, ddim))
    torch.testing.assert_close(two[-1], by_ddim[-1])
    three, by_ddim = (list(sampler(gaussian(), x, ALPHA_BAR, times[:3])) for sampler in (dpm_solver, ddim))
    assert (three[1][0] - by_ddim[1][0]).abs().max() > 1e-3  # the one in the middle is not


def test_inversion_finds_the_noise_and_its_error_falls_with_the_steps():
    alpha_bar, x0 = diffusion.cosine_schedule(640), MEAN + DEVIATION * torch.linspace(-2, 2, 9).double()[:, None]
    exact, away, back = flow(x0, 1.0, alpha_bar[-1].item()), [], []
    for steps in (20, 40, 80, 160):
        times = timesteps(640, steps)
        noise = last(invert(gaussian(alpha_bar), x0, alpha_bar, times))
        away.append((noise - exact).abs().max().item())
        again = last(ddim(gaussian(alpha_bar), noise, alpha_bar, times))
        back.append((again - x0).abs().max().item())
    for errors in (away, back):
        assert all(fine < 0.7 * coarse for coarse, fine in pairwise(errors))
        assert errors[-1] < 0.02


def test_with_one_datum_inversion_keeps_the_noise_too():
    x0, times = normal(3, 4, seed=5), timesteps(N, 10)
    found = [x for x, _ in invert(certain(x0), normal(3, 4), ALPHA_BAR, times)]
    assert len(found) == 10
    eps = diffusion.to_eps(x0, found[0], times[-1].expand(3), ALPHA_BAR)
    for t, xt in zip(times.flip(0), found, strict=True):
        torch.testing.assert_close(xt, diffusion.q_sample(x0, t.expand(3), eps, ALPHA_BAR))
    # The datum itself is taken for x at the first time, so the noise that is found there leaves it where it is.
    torch.testing.assert_close(next(invert(certain(x0), x0, ALPHA_BAR, times))[0], x0)


def test_inversion_asks_where_it_comes_from():
    seen = []
    list(invert(spied(gaussian(), seen), normal(2, 1), ALPHA_BAR, timesteps(N, 4)))
    assert seen == [49, 49, 99, 149]  # the datum is taken for the first of them


RHO = 0.9


def pair(xt, t):
    """The exact denoiser of two standard normal numbers with correlation RHO."""
    covariance = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=torch.float64)
    a = ALPHA_BAR[t[0]]
    gain = a.sqrt() * covariance @ torch.linalg.inv(a * covariance + (1 - a) * torch.eye(2))
    return xt @ gain.T


def completed(repeats, known=1.5):
    """The second number, filled in beside the first."""
    x, mask = normal(4000, 2), torch.tensor([1, 0])
    given = torch.tensor([known, math.nan], dtype=torch.float64)  # what is not known is not looked at
    steps = inpaint(pair, x, given, mask, ALPHA_BAR, timesteps(N, 50), repeats=repeats, generator=rng(1))
    end = last(steps)
    assert (end[:, 0] == known).all()  # exactly
    return end[:, 1]


def test_what_is_filled_in_goes_with_what_is_known():
    """Given the first number, the second has mean RHO times it and variance 1 - RHO^2."""
    x = completed(repeats=10)
    assert x.mean().item() == pytest.approx(RHO * 1.5, abs=0.1)
    assert x.std().item() == pytest.approx(math.sqrt(1 - RHO**2), abs=0.1)
    once = completed(repeats=1)
    assert abs(x.mean() - RHO * 1.5) < 0.5 * abs(once.mean() - RHO * 1.5)  # what the repeats are for


def test_known_pixels_are_kept_and_a_mask_may_be_one_for_all():
    x, known = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=7)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:, :2] = True
    end = last(inpaint(gaussian(), x, known, mask, ALPHA_BAR, timesteps(N, 10), generator=rng()))
    assert torch.equal(end[..., :2], known[..., :2])
    assert (end[..., 2:] - known[..., 2:]).abs().min() > 1e-6
    everything = inpaint(gaussian(), x, known, torch.ones(4, 4), ALPHA_BAR, timesteps(N, 10), generator=rng())
    assert torch.equal(last(everything), known)


class Says(nn.Module):
    """A network of some kind that has the exact answer for GAUSSIAN data."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.scale, self.asked = kind, nn.Parameter(torch.ones(())), []

    def forward(self, xt, t, *y):
        self.asked.append(y)
        x0 = gaussian()(xt, t)
        eps = diffusion.to_eps(x0, xt, t, ALPHA_BAR)
        return self.scale * diffusion.target(self.kind, x0, t, eps, ALPHA_BAR)


class Halved(Says):
    """The same in bfloat16, as autocast has it."""

    def forward(self, xt, t, *y):
        return super().forward(xt, t, *y).bfloat16()


@pytest.mark.parametrize("kind", diffusion.KINDS)
@pytest.mark.parametrize("t", [0, 100, 199])
def test_networks_of_every_kind_are_the_same_denoiser(kind, t):
    xt, times = normal(3, 4), torch.full((3,), t)
    x0 = denoiser(Says(kind), ALPHA_BAR)(xt, times)
    assert x0.dtype == torch.float64 and not x0.requires_grad
    torch.testing.assert_close(x0, gaussian()(xt, times), atol=1e-9, rtol=0)


def test_a_denoiser_gives_the_dtype_it_gets_and_passes_classes_on():
    network, y = Halved("x0"), torch.tensor([3, 4])
    x0 = denoiser(network, ALPHA_BAR, y)(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert x0.dtype == torch.float32
    assert len(network.asked[0]) == 1 and torch.equal(network.asked[0][0], y)
    denoiser(network, ALPHA_BAR)(torch.zeros(2, 4), torch.tensor([0, 1]))
    assert network.asked[1] == ()


def test_clipping_keeps_the_estimate_in_range():
    xt, times = 9 * normal(3, 40), torch.zeros(3, dtype=torch.int64)
    free, clipped = (denoiser(Says("v"), ALPHA_BAR, clip=clip)(xt, times) for clip in (False, True))
    assert free.abs().max() > 1
    assert torch.equal(clipped, free.clamp(-1, 1))


X = torch.zeros(2, 4)
TIMES = timesteps(N, 4)


def drawn(sampler, *args, x=X, alpha_bar=ALPHA_BAR, **options):
    return lambda: last(sampler(gaussian(), x, *args, alpha_bar, **options))


MISTAKES = [
    (lambda: timesteps(1000, 1001), "1001 sampling steps: expected 1 to 1000, the training's"),
    (lambda: timesteps(1000, 0), "0 sampling steps: expected 1 to 1000"),
    (drawn(ddim, times=TIMES.flip(0)), r"times \[49, 99, 149, 199\]: expected a list that falls"),
    (drawn(ddim, times=[9, 9]), r"times \[9, 9\]: expected a list that falls"),
    (drawn(ddim, times=TIMES[None]), "expected a list that falls"),
    (drawn(ddim, times=[200, 3]), "times of type torch.int64 from 3 to 200: expected int64 from 0 to 199"),
    (drawn(ddim, times=[3, -1]), "from -1 to 3: expected int64 from 0 to 199"),
    (drawn(ddim, times=[3.5, 1.0]), "times of type torch.float32"),
    (drawn(ddim, times=TIMES[:0]), r"times \[\]: expected a list that falls, at least one"),
    (drawn(invert, times=TIMES[:0]), r"times \[\]: expected a list that falls, at least one"),
    (drawn(dpm_solver, times=TIMES, alpha_bar=ALPHA_BAR.flip(0)), "schedule of shape .* below the one before"),
    (drawn(ancestral, generator=rng(), alpha_bar=ALPHA_BAR.flip(0)), "schedule of shape .* below the one before"),
    (drawn(ddim, times=TIMES, eta=-0.1), "eta -0.1: expected 0, no noise, to 1"),
    (drawn(ddim, times=TIMES, eta=1.5), "eta 1.5: expected 0, no noise, to 1"),
    (drawn(inpaint, X, X, times=TIMES, repeats=0), "repeats 0: expected at least 1"),
    (drawn(inpaint, X[:, :3], X, times=TIMES), r"known \(2, 3\): expected like x \(2, 4\)"),
    (drawn(inpaint, X, torch.zeros(3, 4), times=TIMES), r"mask \(3, 4\): expected like x \(2, 4\)"),
    (drawn(inpaint, X, torch.zeros(1, 2, 4), times=TIMES), r"mask \(1, 2, 4\): expected like x"),
    (drawn(inpaint, X, X + 0.5, times=TIMES), "mask from 0.5 to 0.5: expected only 0, to fill in, and 1, known"),
    (lambda: last(iter([])), "no steps: expected at least one time"),
]


@pytest.mark.parametrize("wrong, message", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
