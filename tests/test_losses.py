"""Losses: laws, closed forms, and what they say to bad input."""

import math

import pytest
import torch

from aigc_lib import losses


def test_kl_is_zero_only_at_the_prior_and_grows_with_distance():
    zero = torch.zeros(1, 5)
    assert losses.gaussian_kl(zero, zero).item() == 0
    assert losses.gaussian_kl(torch.tensor([[2.0]]), torch.tensor([[0.0]])).item() == pytest.approx(2.0)  # mu^2 / 2
    mu, logvar = torch.randn(1000, 3), torch.randn(1000, 3)
    assert (losses.gaussian_kl(mu, logvar) > 0).all()


def test_kl_agrees_with_monte_carlo():
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.tensor([[0.8, -0.3]]).double(), torch.tensor([[-0.7, 0.4]]).double()
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    z = mu + q.scale * torch.randn(400_000, 2, generator=generator, dtype=torch.float64)
    estimate = (q.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z)).sum(1)
    error = 5 * estimate.std() / math.sqrt(len(z))
    assert abs(estimate.mean() - losses.gaussian_kl(mu, logvar)[0]) < error


def test_uncertain_pixels_cost_log_two_each():
    x = torch.rand(3, 1, 28, 28) * 2 - 1
    nll = losses.bernoulli_nll(torch.zeros_like(x), x)
    torch.testing.assert_close(nll, torch.full((3,), 784 * math.log(2)))


def test_vae_loss_sums_over_dimensions_and_averages_over_images():
    logits, x = torch.randn(4, 1, 28, 28), torch.rand(4, 1, 28, 28) * 2 - 1
    mu, logvar = torch.randn(4, 6), torch.randn(4, 6)
    parts = losses.vae_loss(logits, x, mu, logvar, beta=3.0)
    torch.testing.assert_close(parts["loss"], parts["nll"] + 3 * parts["kl"])
    each = [losses.vae_loss(*(t[i : i + 1] for t in (logits, x, mu, logvar)))["nll"] for i in range(4)]
    torch.testing.assert_close(parts["nll"], torch.stack(each).mean())


def test_bad_input_is_named():
    image = torch.zeros(2, 1, 28, 28)
    with pytest.raises(ValueError, match=r"\[-1, 1\].*255"):
        losses.bernoulli_nll(image, image + 255)
    with pytest.raises(ValueError, match=r"\(2, 1, 28, 28\).*\(1, 28, 28\)"):
        losses.bernoulli_nll(image, image[0])
    with pytest.raises(ValueError, match="int64"):
        losses.bernoulli_nll(image, image.long())
    with pytest.raises(ValueError, match="mu"):
        losses.gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="mu has 3 rows: expected 2, one per image"):
        losses.vae_loss(image, image, torch.zeros(3, 5), torch.zeros(3, 5))
