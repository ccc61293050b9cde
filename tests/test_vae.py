"""The VAE: shapes, gradients, one batch overfitted, and the law of the bound."""

import pytest
import torch

from aigc_lib import data, losses, sample
from aigc_lib.evaluate import negative_elbo
from aigc_lib.models.vae import VAE, reparameterize


def batch(n=16):
    return data.mnist("test")[0][:n]


def test_shapes_and_finite_gradients_for_every_parameter():
    torch.manual_seed(0)
    vae, x = VAE(latent_dim=5, channels=4, hidden=32), batch()
    logits, mu, logvar = vae(x)
    assert logits.shape == x.shape and mu.shape == logvar.shape == (16, 5)
    losses.vae_loss(logits, x, mu, logvar)["loss"].backward()
    for name, p in vae.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


def test_overfits_one_batch():
    torch.manual_seed(0)
    vae, x, generator = VAE(channels=8, hidden=128), batch(8), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    trace = []
    for _ in range(200):
        logits, mu, logvar = vae(x, generator)
        parts = losses.vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        trace.append(parts["nll"].item())
    floor = losses.bernoulli_nll(torch.logit((x + 1) / 2, eps=1e-6), x).mean().item()
    assert trace[-1] < floor + 0.1 * (trace[0] - floor)


def test_reparameterize_is_a_draw_with_the_right_moments_and_gradients():
    mu = torch.full((100_000, 1), 0.7, requires_grad=True)
    logvar = torch.full((100_000, 1), -0.4, requires_grad=True)
    z = reparameterize(mu, logvar, torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(0.7, abs=0.01)
    assert z.var().item() == pytest.approx(0.6703, abs=0.01)
    (z**2).mean().backward()
    assert mu.grad.sum().item() == pytest.approx(1.4, abs=0.02)  # d E[z^2] / d mu = 2 mu
    assert logvar.grad.sum().item() == pytest.approx(0.6703, abs=0.02)  # d E[z^2] / d logvar = sigma^2


def test_the_generator_decides_the_noise():
    vae, x = VAE(latent_dim=3, channels=4, hidden=16), batch(4)
    one, two, other = (vae(x, torch.Generator().manual_seed(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_negative_elbo_is_the_mean_over_all_images_whatever_the_batch_size():
    vae, x = VAE(latent_dim=3, channels=4, hidden=16), batch(10)

    def without_noise(images, _):
        mu, logvar = vae.encode(images)
        return vae.decode(mu), mu, logvar

    whole, split = (negative_elbo(without_noise, x, batch_size=n) for n in (10, 4))
    assert split == pytest.approx(whole)
    assert whole["loss"] == pytest.approx(whole["nll"] + whole["kl"])


def test_sampling_and_walking():
    vae = VAE(latent_dim=3, channels=4, hidden=16)
    images = sample.from_prior(vae.images, 6, 3, torch.Generator().manual_seed(0))
    assert images.shape == (6, 1, 28, 28) and images.min() >= -1 and images.max() <= 1
    corners = torch.randn(4, 3)
    for (u, v), corner in zip([(0, 0), (1, 0), (0, 1), (1, 1)], corners, strict=True):
        torch.testing.assert_close(sample.bilinear(corners, u, v), corner)
    torch.testing.assert_close(sample.bilinear(corners, 0.5, 0.5), corners.mean(0))


def test_wrong_shapes_are_named():
    vae = VAE(latent_dim=3, channels=4, hidden=16)
    with pytest.raises(ValueError, match=r"\(2, 3, 32, 32\)"):
        vae.encode(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"\(2, 7\).*\(B, 3\)"):
        vae.decode(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="n=0"):
        sample.from_prior(vae.images, 0, 3)
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        sample.bilinear(torch.zeros(3, 2), 0, 0)
