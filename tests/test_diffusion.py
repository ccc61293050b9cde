"""The forward process: laws, brute force as an oracle, and what bad input looks like."""

import math

import pytest
import torch

from aigc_lib import data, diffusion

SCHEDULES = {
    "linear": diffusion.linear_schedule(),
    "cosine": diffusion.cosine_schedule(),
    "short": diffusion.linear_schedule(20, 1e-3, 0.3),
}
schedules = pytest.mark.parametrize("alpha_bar", SCHEDULES.values(), ids=SCHEDULES)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def every_time(alpha_bar, *shape):
    """All times of a schedule, and as many x0 and eps of this shape."""
    n = len(alpha_bar)
    return torch.arange(n), normal(n, *shape), normal(n, *shape, seed=1)


def test_the_linear_schedule_has_the_variances_of_ddpm():
    betas = diffusion.betas(diffusion.linear_schedule())
    assert len(betas) == 1000 and betas.dtype == torch.float64
    torch.testing.assert_close(betas[[0, -1]], torch.tensor([1e-4, 0.02], dtype=torch.float64))
    torch.testing.assert_close(betas.diff(), torch.full((999,), 0.0199 / 999, dtype=torch.float64), rtol=1e-6, atol=0)


def test_the_cosine_schedule_is_a_cosine_whose_last_step_is_bounded():
    n, s = 1000, 0.008
    alpha_bar = diffusion.cosine_schedule(n)

    def f(t):
        return math.cos((t / n + s) / (1 + s) * math.pi / 2) ** 2

    expected = torch.tensor([f(t + 1) / f(0) for t in range(n)], dtype=torch.float64)
    torch.testing.assert_close(alpha_bar[:-1], expected[:-1])
    assert expected[-1] < 1e-30  # the cosine ends at no signal at all
    assert diffusion.betas(alpha_bar)[-1].item() == pytest.approx(0.999)


@schedules
def test_schedules_fall_from_nearly_all_signal_to_nearly_none(alpha_bar):
    assert diffusion.expect_schedule(alpha_bar) is alpha_bar
    assert alpha_bar[0] > 0.998 and alpha_bar[-1] < 0.1
    assert (diffusion.snr(alpha_bar).diff() < 0).all()
    half = diffusion.snr(torch.tensor([0.5, 0.8], dtype=torch.float64))
    torch.testing.assert_close(half, torch.tensor([1.0, 4.0], dtype=torch.float64))


def test_variances_and_schedule_say_the_same():
    betas = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alpha_bar = diffusion.from_betas(betas)
    torch.testing.assert_close(diffusion.betas(alpha_bar), betas)
    torch.testing.assert_close(diffusion.from_betas(diffusion.betas(alpha_bar)), alpha_bar)
    assert diffusion.previous(alpha_bar)[0] == 1
    assert torch.equal(diffusion.previous(alpha_bar)[1:], alpha_bar[:-1])


@schedules
def test_one_jump_has_the_moments_of_single_steps(alpha_bar):
    """The mean and the deviation, step by step: exact."""
    ones, zeros = torch.ones(len(alpha_bar), 1).double(), torch.zeros(len(alpha_bar), 1).double()
    t = torch.arange(len(alpha_bar))
    mean, deviation = 1.0, 0.0
    of_x0 = diffusion.q_sample(ones, t, zeros, alpha_bar).flatten().tolist()
    of_eps = diffusion.q_sample(zeros, t, ones, alpha_bar).flatten().tolist()
    for time, beta in enumerate(diffusion.betas(alpha_bar).tolist()):
        mean = math.sqrt(1 - beta) * mean
        deviation = math.sqrt((1 - beta) * deviation**2 + beta)
        assert of_x0[time] == pytest.approx(mean, rel=1e-9)
        assert of_eps[time] == pytest.approx(deviation, rel=1e-9)


def test_a_simulated_walk_ends_like_one_jump():
    alpha_bar, x0, n = SCHEDULES["short"], 1.7, 40_000
    walk = torch.full((n,), x0, dtype=torch.float64)
    for t, beta in enumerate(diffusion.betas(alpha_bar)):
        walk = (1 - beta).sqrt() * walk + beta.sqrt() * normal(n, seed=t)
    t = torch.full((n,), len(alpha_bar) - 1)
    jump = diffusion.q_sample(torch.full((n,), x0).double(), t, normal(n, seed=99), alpha_bar)
    for x in (walk, jump):
        assert abs(x.mean() - alpha_bar[-1].sqrt() * x0) < 5 * x.std() / math.sqrt(n)
        assert abs(x.var() - (1 - alpha_bar[-1])) < 5 * math.sqrt(2 / n)
    shares = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    torch.testing.assert_close(walk.quantile(shares), jump.quantile(shares), atol=0.04, rtol=0)


def test_every_row_has_the_noise_of_its_own_time():
    alpha_bar = SCHEDULES["cosine"]
    x0, eps = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1)
    t = torch.tensor([0, 500, 999])
    together = diffusion.q_sample(x0, t, eps, alpha_bar)
    for i in range(3):
        alone = diffusion.q_sample(x0[i : i + 1], t[i : i + 1], eps[i : i + 1], alpha_bar)
        assert torch.equal(together[i : i + 1], alone)
    torch.testing.assert_close(together[0], x0[0], atol=0.05, rtol=0)
    torch.testing.assert_close(together[2], eps[2], atol=1e-3, rtol=0)


def test_eps_x0_and_v_by_hand():
    alpha_bar = torch.tensor([0.64, 0.36], dtype=torch.float64)  # roots 0.8 and 0.6
    x0, eps, t = torch.tensor([[1.0]]), torch.tensor([[2.0]]), torch.tensor([0])
    assert diffusion.q_sample(x0, t, eps, alpha_bar).item() == pytest.approx(0.8 + 1.2)
    assert diffusion.target("eps", x0, t, eps, alpha_bar).item() == 2
    assert diffusion.target("x0", x0, t, eps, alpha_bar).item() == 1
    assert diffusion.target("v", x0, t, eps, alpha_bar).item() == pytest.approx(1.6 - 0.6)


@schedules
@pytest.mark.parametrize("kind", diffusion.KINDS)
def test_each_kind_says_the_same_x0_and_eps(kind, alpha_bar):
    t, x0, eps = every_time(alpha_bar, 3, 2)
    xt = diffusion.q_sample(x0, t, eps, alpha_bar)
    output = diffusion.target(kind, x0, t, eps, alpha_bar)
    torch.testing.assert_close(diffusion.to_x0(kind, output, xt, t, alpha_bar), x0, atol=1e-9, rtol=0)
    torch.testing.assert_close(diffusion.to_eps(x0, xt, t, alpha_bar), eps, atol=1e-9, rtol=0)


@schedules
def test_the_same_error_costs_more_or_less_by_kind(alpha_bar):
    """An error of 1 in x0 is one of SNR in the squared loss of eps, and of SNR + 1 in that of v."""
    t, x0, eps = every_time(alpha_bar, 1)
    xt, snr = diffusion.q_sample(x0, t, eps, alpha_bar), diffusion.snr(alpha_bar)[:, None]
    for kind, weight in {"x0": torch.ones_like(snr), "eps": snr, "v": snr + 1}.items():
        wrong = diffusion.target(kind, x0, t, eps, alpha_bar) + 0.1
        error = diffusion.to_x0(kind, wrong, xt, t, alpha_bar) - x0
        torch.testing.assert_close(weight * error.square(), torch.full_like(error, 0.01), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("t", [1, 2, 10, 19])
def test_the_posterior_is_bayes_rule_on_a_grid(t):
    alpha_bar, x0, xt = SCHEDULES["short"], 0.8, -0.5
    before, beta = diffusion.previous(alpha_bar)[t], diffusion.betas(alpha_bar)[t]
    grid = torch.linspace(-8, 8, 200_001, dtype=torch.float64)  # candidates for x_(t-1)
    prior = torch.distributions.Normal(before.sqrt() * x0, (1 - before).sqrt())
    likelihood = torch.distributions.Normal((1 - beta).sqrt() * grid, beta.sqrt())
    log_p = prior.log_prob(grid) + likelihood.log_prob(torch.tensor(xt).double())
    weights = log_p.softmax(0)
    mean = (weights * grid).sum()
    variance = (weights * (grid - mean).square()).sum()
    one = torch.ones(1, 1, dtype=torch.float64)
    ours = diffusion.posterior(x0 * one, xt * one, torch.tensor([t]), alpha_bar)
    torch.testing.assert_close(ours[0].squeeze(), mean)
    torch.testing.assert_close(ours[1].squeeze(), variance)


@schedules
def test_a_step_back_by_the_posterior_undoes_a_step_forward(alpha_bar):
    """x_t of q(x_t | x_0), then x_(t-1) of the posterior: together q(x_(t-1) | x_0), mean and variance."""
    t = torch.arange(len(alpha_bar))
    zeros, ones = torch.zeros(len(t), 1).double(), torch.ones(len(t), 1).double()
    of_x0, variance = diffusion.posterior(ones, zeros, t, alpha_bar)
    of_xt, _ = diffusion.posterior(zeros, ones, t, alpha_bar)
    a, before = alpha_bar[:, None], diffusion.previous(alpha_bar)[:, None]
    torch.testing.assert_close(of_x0 + of_xt * a.sqrt(), before.sqrt())
    torch.testing.assert_close(of_xt.square() * (1 - a) + variance, 1 - before)


@schedules
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_before_the_first_step_stands_the_datum(alpha_bar, dtype):
    x0, xt = normal(5, 3, dtype=dtype), normal(5, 3, seed=1, dtype=dtype)
    mean, variance = diffusion.posterior(x0, xt, torch.zeros(5, dtype=torch.int64), alpha_bar)
    assert mean.dtype == variance.dtype == dtype
    torch.testing.assert_close(mean, x0)
    assert (variance == 0).all()


@pytest.mark.parametrize("t", [0, 5, 19])
def test_the_optimal_denoiser_is_the_posterior_mean_by_brute_force(t):
    alpha_bar, points = SCHEDULES["short"], normal(7, 1, 3, 3)
    xt = diffusion.q_sample(points[:4], torch.full((4,), t), normal(4, 1, 3, 3, seed=1), alpha_bar)
    ours = diffusion.optimal_denoiser(xt, torch.full((4,), t), points, alpha_bar)
    a = alpha_bar[t]
    for x, found in zip(xt, ours, strict=True):
        p = [
            torch.distributions.Normal(a.sqrt() * point, (1 - a).sqrt()).log_prob(x).sum().exp().item()
            for point in points
        ]
        mean = sum(weight * point for weight, point in zip(p, points, strict=True)) / sum(p)
        torch.testing.assert_close(found, mean)


def test_rows_of_the_optimal_denoiser_have_times_of_their_own():
    alpha_bar, points, t = SCHEDULES["short"], normal(7, 2), torch.tensor([0, 7, 19])
    xt = normal(3, 2, seed=1)
    together = diffusion.optimal_denoiser(xt, t, points, alpha_bar)
    alone = [diffusion.optimal_denoiser(xt[i : i + 1], t[i : i + 1], points, alpha_bar) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_with_little_noise_the_nearest_digit_is_the_answer_and_with_nothing_but_noise_the_mean():
    """In float32, on digits, as the chapters use it."""
    alpha_bar, digits = SCHEDULES["cosine"], data.mnist("train")[0][:500]
    x0, eps = digits[:8], normal(8, 1, 28, 28, dtype=torch.float32)
    for t in (0, 20, 100):
        times = torch.full((8,), t)
        xt = diffusion.q_sample(x0, times, eps, alpha_bar)
        torch.testing.assert_close(diffusion.optimal_denoiser(xt, times, digits, alpha_bar), x0, atol=1e-4, rtol=0)
    times = torch.full((8,), 999)
    ours = diffusion.optimal_denoiser(eps, times, digits, alpha_bar)
    torch.testing.assert_close(ours, digits.mean(0).expand(8, -1, -1, -1), atol=0.01, rtol=0)


def test_a_gaussian_cloud_has_a_linear_denoiser():
    """Data N(0, s^2): E[x_0 | x_t] = sqrt(a) s^2 / (a s^2 + 1 - a) x_t, here for many points of it."""
    alpha_bar, s = SCHEDULES["short"], 0.7
    points = s * math.sqrt(2) * torch.erfinv(2 * (torch.arange(20_000).double() + 0.5) / 20_000 - 1)  # its quantiles
    x = torch.linspace(-1.5, 1.5, 9, dtype=torch.float64)[:, None]
    for t in (4, 10, 19):
        a = alpha_bar[t]
        ours = diffusion.optimal_denoiser(x, torch.full((9,), t), points[:, None], alpha_bar)
        torch.testing.assert_close(ours, a.sqrt() * s**2 / (a * s**2 + 1 - a) * x, atol=1e-3, rtol=1e-3)


ONE, T = torch.zeros(2, 3), torch.tensor([0, 1])
A = SCHEDULES["short"]
MISTAKES = [
    (lambda: diffusion.from_betas(torch.tensor([0.1, 1.0])), r"variances of shape \(2,\) from 0.1 to 1: .* 0 and 1"),
    (lambda: diffusion.from_betas(torch.tensor([0.0, 0.1])), r"from 0 to 0.1: expected \(n,\)"),
    (lambda: diffusion.from_betas(torch.tensor([math.nan])), r"variances .*nan"),
    (lambda: diffusion.from_betas(torch.full((2, 2), 0.1)), r"shape \(2, 2\)"),
    (lambda: diffusion.linear_schedule(0), r"shape \(0,\) from nothing: expected \(n,\)"),
    (lambda: diffusion.cosine_schedule(0), r"shape \(0,\) from nothing: expected \(n,\)"),
    (lambda: diffusion.expect_schedule(A.flip(0)), r"schedule of shape \(20,\) .*: expected .*below the one before"),
    (lambda: diffusion.expect_schedule(torch.tensor([0.9, 0.5, 0.5])), "below the one before"),
    (lambda: diffusion.expect_schedule(torch.tensor([1.0, 0.5])), "from 0.5 to 1: expected .*between 0 and 1"),
    (lambda: diffusion.expect_schedule(torch.tensor([0.5, 0.0])), "from 0 to 0.5: expected .*between 0 and 1"),
    (lambda: diffusion.expect_schedule(torch.tensor([0.9, math.nan])), "schedule of shape"),
    (lambda: diffusion.expect_schedule(torch.tensor([])), "from nothing"),
    (lambda: diffusion.expect_schedule(A[None]), r"shape \(1, 20\)"),
    (lambda: diffusion.q_sample(ONE, torch.tensor([0, 20]), ONE, A), "from 0 to 20: expected int64 from 0 to 19"),
    (lambda: diffusion.q_sample(ONE, torch.tensor([-1, 3]), ONE, A), "from -1 to 3: expected int64 from 0 to 19"),
    (lambda: diffusion.q_sample(ONE, torch.tensor([0.0, 1.0]), ONE, A), "type torch.float32 .*: expected int64"),
    (lambda: diffusion.q_sample(ONE, T, ONE[:1], A), r"x0 \(2, 3\), eps \(1, 3\)"),
    (lambda: diffusion.q_sample(ONE, T[:1], ONE, A), r"t \(1,\): expected eps like x0, and one time for each"),
    (lambda: diffusion.target("noise", ONE, T, ONE, A), "kind 'noise': expected one of eps, x0, v"),
    (lambda: diffusion.to_x0("x_0", ONE, ONE, T, A), "kind 'x_0'"),
    (lambda: diffusion.to_x0("eps", ONE, ONE, torch.tensor([0, 99]), A), "from 0 to 99"),
    (lambda: diffusion.to_eps(ONE[:1], ONE[:1], T, A), r"t \(2,\), x \(1, 3\): expected one time for each"),
    (lambda: diffusion.posterior(ONE, ONE, torch.tensor([0, 20]), A), "from 0 to 20: expected"),
    (lambda: diffusion.optimal_denoiser(ONE, T, torch.zeros(5, 4), A), r"data \(5, 4\): .*, \(2, 3\)"),
    (lambda: diffusion.optimal_denoiser(ONE, T, torch.zeros(0, 3), A), r"data \(0, 3\): expected one or more"),
]


@pytest.mark.parametrize("wrong, message", MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
