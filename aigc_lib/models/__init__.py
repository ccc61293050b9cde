"""The networks: each file holds one family, its parts first, then the model."""

from aigc_lib.models.vae import VAE

__all__ = ["VAE"]
