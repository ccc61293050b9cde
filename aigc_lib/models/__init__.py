"""The networks: each file holds one family, its parts first, then the model."""

from aigc_lib.models import gan, sagan, stylegan
from aigc_lib.models.classifier import DigitClassifier
from aigc_lib.models.gan import Discriminator, Generator, mlp_discriminator, mlp_generator
from aigc_lib.models.vae import VAE, conv_vae, mlp_vae

__all__ = [
    "VAE",
    "DigitClassifier",
    "Discriminator",
    "Generator",
    "conv_vae",
    "gan",
    "mlp_discriminator",
    "mlp_generator",
    "mlp_vae",
    "sagan",
    "stylegan",
]
