"""Toy densities: they integrate to one, and their samples are drawn from them."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from aigc_lib.data import toy

TOYS = {"ring": toy.ring(), "moons": toy.moons(), "three": toy.ring(modes=3, radius=1.0, std=0.4)}
tilted = torch.tensor([[0.5, 0.3], [0.3, 0.4]])
TOYS["tilted"] = toy.Mixture(
    torch.tensor([0.8, 0.2]), torch.tensor([[0.5, 0.0], [-1.0, 0.5]]), torch.stack([tilted, 0.1 * torch.eye(2)])
)


def on_lattice(p, reach=6.0, n=500):
    """log p on a lattice, and the area of one of its cells."""
    return p.log_prob(toy.lattice(reach, n)).double(), (2 * reach / n) ** 2


@pytest.mark.parametrize("name", TOYS)
def test_density_integrates_to_one(name):
    log_p, area = on_lattice(TOYS[name])
    assert float(log_p.exp().sum() * area) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", TOYS)
def test_mean_log_prob_of_samples_is_minus_the_entropy(name):
    log_p, area = on_lattice(TOYS[name])
    entropy = -float((log_p.exp() * log_p).sum() * area)
    x = TOYS[name].sample(40_000, torch.Generator().manual_seed(0))
    assert float(TOYS[name].log_prob(x).mean()) == pytest.approx(-entropy, abs=0.02)  # sd of the mean ~ 0.005


@pytest.mark.parametrize("name", TOYS)
def test_samples_fill_the_cells_as_the_density_says(name):
    p, reach, n = TOYS[name], 4.0, 8
    x = p.sample(50_000, torch.Generator().manual_seed(1))
    cell = ((x + reach) / (2 * reach / n)).long().clamp(0, n - 1)
    found = torch.bincount(cell[:, 1] * n + cell[:, 0], minlength=n * n) / len(x)
    log_p, area = on_lattice(p, reach, 400)
    true = (log_p.exp() * area).reshape(n, 50, n, 50).sum((1, 3)).flatten()
    assert float((found - true).abs().max()) < 0.01


def test_log_prob_equals_torch_distributions():
    p, x = TOYS["tilted"], torch.randn(50, 2) * 2
    parts = [MultivariateNormal(m, c).log_prob(x) for m, c in zip(p.means, p.covariances, strict=True)]
    expected = (torch.stack(parts, 1) + p.weights.log()).logsumexp(1)
    torch.testing.assert_close(p.log_prob(x), expected)
    torch.testing.assert_close(p.log_joint(x).softmax(1).sum(1), torch.ones(50))


def test_any_dimension():
    p = toy.Mixture(torch.ones(1), torch.zeros(1, 5), torch.eye(5)[None])
    x = p.sample(7)
    torch.testing.assert_close(p.log_prob(x), MultivariateNormal(torch.zeros(5), torch.eye(5)).log_prob(x))


def test_a_component_of_weight_zero_changes_nothing():
    p = toy.Mixture(torch.tensor([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2, 1, 1))
    torch.testing.assert_close(p.log_prob(torch.zeros(1, 1)), torch.tensor([-0.9189385]))


def test_a_seed_gives_the_same_points_and_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    a, b, c = (toy.ring().sample(9, torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), state)
    assert a.shape == (9, 2) and a.dtype == torch.float32


def test_moons_are_centred_and_point_symmetric():
    x = torch.randn(100, 2)
    p = toy.moons()
    torch.testing.assert_close(p.log_prob(x), p.log_prob(-x), rtol=1e-4, atol=1e-4)


def test_lattice_is_ordered_like_an_image():
    points = toy.lattice(reach=1.0, n=2)
    assert points.tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("n", [0, -3])
def test_too_few_points_are_refused(n):
    with pytest.raises(ValueError, match=f"n={n}: expected at least 1"):
        toy.ring().sample(n)


def test_bad_arguments_are_refused():
    one, eye = torch.zeros(1, 2), torch.eye(2)[None]
    with pytest.raises(ValueError, match="modes=0"):
        toy.ring(modes=0)
    with pytest.raises(ValueError, match="beads=1"):
        toy.moons(beads=1)
    with pytest.raises(ValueError, match="std=0"):
        toy.ring(std=0)
    with pytest.raises(ValueError, match=r"shape \(4, 3\): expected \(N, 2\)"):
        toy.ring().log_prob(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="sum 0.7"):
        toy.Mixture(torch.tensor([0.7]), one, eye)
    with pytest.raises(ValueError, match=r"expected \(1,\) and \(1, 2, 2\)"):
        toy.Mixture(torch.ones(1), one, torch.eye(3)[None])
