"""Losses: tensors in, tensors out.

Sums over dimensions, means over the batch, parts by name.
"""

from aigc_lib.losses.contrastive import contrastive_loss, siglip_loss
from aigc_lib.losses.diffusion import denoising_loss
from aigc_lib.losses.gan import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    hinge_loss,
    r1_penalty,
    relativistic_loss,
    saturating_generator_loss,
    wasserstein_loss,
)
from aigc_lib.losses.text import next_token_loss, text_image_loss
from aigc_lib.losses.vae import (
    bernoulli_nll,
    gaussian_kl,
    kl_autoencoder_loss,
    vae_loss,
)
from aigc_lib.losses.vqvae import (
    codebook_loss,
    commitment_loss,
    dvae_loss,
    uniform_kl,
    vqvae_loss,
)

__all__ = [
    "bernoulli_nll",
    "codebook_loss",
    "commitment_loss",
    "contrastive_loss",
    "denoising_loss",
    "discriminator_loss",
    "dvae_loss",
    "gaussian_kl",
    "generator_loss",
    "gradient_penalty",
    "hinge_loss",
    "kl_autoencoder_loss",
    "next_token_loss",
    "r1_penalty",
    "relativistic_loss",
    "saturating_generator_loss",
    "siglip_loss",
    "text_image_loss",
    "uniform_kl",
    "vae_loss",
    "vqvae_loss",
    "wasserstein_loss",
]
