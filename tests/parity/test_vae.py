"""The VAE's pieces inside the production library: the same numbers out."""

import pytest
import torch

from aigc_lib import losses
from aigc_lib.models.vae import reparameterize

diffusers_vae = pytest.importorskip("diffusers.models.autoencoders.vae")


def test_our_posterior_is_diffusers_posterior():
    # [at-work]
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    mu, logvar = torch.randn(8, 20), torch.randn(8, 20)
    both = torch.cat([mu, logvar], dim=1)[..., None, None]  # (B, 2D, H, W)
    posterior = DiagonalGaussianDistribution(both)

    torch.testing.assert_close(losses.gaussian_kl(mu, logvar), posterior.kl())
    eps = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    same_z = posterior.sample(torch.Generator().manual_seed(0))[..., 0, 0]
    torch.testing.assert_close(reparameterize(mu, logvar, eps), same_z)
    # [/at-work]


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
