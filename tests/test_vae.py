"""The VAE: shapes, gradients, one batch overfitted, and the law of the bound."""

from functools import partial

import pytest
import torch

from aigc_lib import data, losses, sample
from aigc_lib.models.vae import PeekingVAE, conv_vae, mlp_vae, reparameterize


def batch(n=16):
    return data.mnist("test")[0][:n]


@pytest.mark.parametrize("build", [partial(conv_vae, channels=4, hidden=32), partial(mlp_vae, hidden=32), PeekingVAE])
def test_shapes_and_finite_gradients_for_every_parameter(build):
    torch.manual_seed(0)
    vae, x = build(latent_dim=5), batch()
    logits, mu, logvar = vae(x, torch.randn(16, 5))
    assert logits.shape == x.shape and mu.shape == logvar.shape == (16, 5)
    losses.vae_loss(logits, x, mu, logvar)["loss"].backward()
    for name, p in vae.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


def test_overfits_one_batch():
    torch.manual_seed(0)
    vae, x = conv_vae(channels=8, hidden=128), batch(8)
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    trace = []
    for _ in range(200):
        logits, mu, logvar = vae(x, torch.randn(8, 20))
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
    z = reparameterize(mu, logvar, torch.randn(mu.shape, generator=torch.Generator().manual_seed(0)))
    assert z.mean().item() == pytest.approx(0.7, abs=0.01)
    assert z.var().item() == pytest.approx(0.6703, abs=0.01)
    (z**2).mean().backward()
    assert mu.grad.sum().item() == pytest.approx(1.4, abs=0.02)  # d E[z^2] / d mu = 2 mu
    assert logvar.grad.sum().item() == pytest.approx(0.6703, abs=0.02)  # d E[z^2] / d logvar = sigma^2


def test_sampling_and_walking():
    vae = conv_vae(latent_dim=3, channels=4, hidden=16)
    images = sample.from_prior(vae.images, 6, 3, torch.Generator().manual_seed(0))
    assert images.shape == (6, 1, 28, 28) and images.min() >= -1 and images.max() <= 1
    corners = torch.randn(4, 3)
    for (u, v), corner in zip([(0, 0), (1, 0), (0, 1), (1, 1)], corners, strict=True):
        torch.testing.assert_close(sample.bilinear(corners, u, v), corner)
    torch.testing.assert_close(sample.bilinear(corners, 0.5, 0.5), corners.mean(0))


def test_wrong_shapes_are_named():
    vae = conv_vae(latent_dim=3, channels=4, hidden=16)
    with pytest.raises(ValueError, match=r"\(2, 3, 32, 32\)"):
        vae.encode(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match=r"\(2, 7\).*\(B, 3\)"):
        vae.decode(torch.zeros(2, 7))
    for eps in (torch.zeros(1, 3), torch.zeros(3), torch.zeros(2, 1), torch.zeros(4, 3)):
        with pytest.raises(ValueError, match=r"eps has shape .*: expected \(2, 3\), one row per image"):
            vae(torch.zeros(2, 1, 28, 28), eps)
    with pytest.raises(ValueError, match="n=0"):
        sample.from_prior(vae.images, 0, 3)
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        sample.bilinear(torch.zeros(3, 2), 0, 0)


def test_images_do_not_share_their_noise_but_one_image_may_have_many_draws():
    one, many = torch.zeros(1, 3), torch.randn(5, 3)
    assert torch.equal(reparameterize(one, one, many), many)
    with pytest.raises(ValueError, match=r"eps has shape \(1, 3\): expected \(5, 3\), noise of its own"):
        reparameterize(many, many, one)


def test_codes_are_draws_from_each_posterior_that_a_seed_repeats():
    torch.manual_seed(0)
    vae, x = mlp_vae(latent_dim=4, hidden=16), batch()
    first, again = (vae.codes(x, torch.Generator().manual_seed(seed)) for seed in (1, 1))
    assert torch.equal(first, again) and not first.requires_grad
    rng = torch.Generator().manual_seed(0)
    many = torch.stack([vae.codes(x, rng) for _ in range(4000)])  # (4000, 16, 4)
    with torch.no_grad():
        mu, logvar = vae.encode(x)
    torch.testing.assert_close(many.mean(0), mu, atol=0.12, rtol=0)
    torch.testing.assert_close(many.std(0), (0.5 * logvar).exp(), atol=0.1, rtol=0)


def test_a_peeking_decoder_sees_what_stands_before_and_nothing_else():
    torch.manual_seed(0)
    vae, x = PeekingVAE(), batch(1)
    vae.vae.encoder.requires_grad_(False)
    x = x.requires_grad_()
    mu, logvar = (t.detach() for t in vae.vae.encode(x))
    vae.vae.encode = lambda _: (mu, logvar)  # so that only the neighbours pass the image on
    logits, _, _ = vae(x, torch.zeros(1, 20))
    (seen,) = torch.autograd.grad(logits[0, 0, 10, 10], x)
    rows, columns = seen[0, 0].nonzero().T
    places = set(zip(rows.tolist(), columns.tolist(), strict=True))
    above = {(row, column) for row in (8, 9) for column in range(8, 13)}
    assert places == above | {(10, 8), (10, 9)}


def test_a_peeking_vae_starts_as_the_one_without_neighbours():
    """So that the chapter's two trainings differ in the neighbours alone."""
    torch.manual_seed(3)
    peeking = PeekingVAE(hidden=16)
    torch.manual_seed(3)
    plain = mlp_vae(hidden=16)
    for a, b in zip(peeking.vae.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
