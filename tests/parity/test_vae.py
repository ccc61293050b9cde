"""The VAE inside production libraries: the same weights, the same numbers out."""

import pytest
import torch

from aigc_lib import data, evaluate, losses, recipes
from aigc_lib.models.vae import reparameterize

pytest.importorskip("diffusers.models.autoencoders.vae")


def rng():
    return torch.Generator().manual_seed(0)


@torch.no_grad()
def test_our_checkpoint_inside_diffusers_gives_the_same_codes_and_images():
    # [at-work]
    from diffusers import AutoencoderKL
    from torch import nn

    vae, x = recipes.load("vae"), data.mnist("test")[0][:8]
    theirs = AutoencoderKL(use_quant_conv=False, use_post_quant_conv=False)
    theirs.encoder = nn.Sequential(vae.encoder, nn.Unflatten(1, (40, 1, 1)))
    theirs.decoder = nn.Sequential(nn.Flatten(), vae.decoder)

    posterior = theirs.encode(x).latent_dist  # DiagonalGaussianDistribution
    their_z = posterior.sample(torch.Generator().manual_seed(0))  # (8, 20, 1, 1)
    their_logits = theirs.decode(their_z).sample

    eps = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    logits, mu, logvar = vae(x, eps)
    torch.testing.assert_close(posterior.kl(), losses.gaussian_kl(mu, logvar))
    torch.testing.assert_close(their_z[..., 0, 0], reparameterize(mu, logvar, eps))
    torch.testing.assert_close(their_logits, logits)
    # [/at-work]


@torch.no_grad()
def test_our_checkpoint_in_torch_distributions_has_the_same_bounds():
    # [bounds]
    from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

    vae, x = recipes.load("vae"), data.mnist("test")[0][:8]
    mu, logvar = vae.encode(x)
    q = Independent(Normal(mu, (0.5 * logvar).exp()), 1)
    prior = Independent(Normal(torch.zeros(20), torch.ones(20)), 1)

    def log_pixels(z):  # (..., 20) -> (...,), for the grey images x
        logits = vae.decode(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        pixels = Independent(Bernoulli(logits=logits, validate_args=False), 3)
        return pixels.log_prob((x + 1) / 2)

    z = mu + q.stddev * torch.randn(8, 20, generator=rng())
    elbo = log_pixels(z) - kl_divergence(q, prior)
    ours = evaluate.negative_elbo(vae, x, rng())["loss"]
    assert ours == pytest.approx(-elbo.mean().item(), rel=1e-5)

    z = mu + q.stddev * torch.randn(16, 8, 20, generator=rng())
    log_weights = log_pixels(z) + prior.log_prob(z) - q.log_prob(z)  # (16, 8)
    bound = log_weights.logsumexp(0) - torch.tensor(16.0).log()
    ours = evaluate.iwae_bound(vae, x, 16, rng())
    assert ours == pytest.approx(-bound.mean().item(), rel=1e-5)
    # [/bounds]


def test_kl_is_torch_distributions_kl():
    from torch.distributions import Normal, kl_divergence

    mu, logvar = torch.randn(8, 20, dtype=torch.float64), torch.randn(8, 20, dtype=torch.float64)
    theirs = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(losses.gaussian_kl(mu, logvar), theirs)


def test_nll_is_torch_distributions_log_prob():
    from torch.distributions import Bernoulli

    logits = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    x = torch.rand(4, 1, 28, 28, dtype=torch.float64) * 2 - 1
    theirs = -Bernoulli(logits=logits, validate_args=False).log_prob((x + 1) / 2).flatten(1).sum(1)
    torch.testing.assert_close(losses.bernoulli_nll(logits, x), theirs)
