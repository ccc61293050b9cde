"""The networks: each file holds one family, its parts first, then the model."""

from aigc_lib.models.classifier import DigitClassifier
from aigc_lib.models.vae import VAE, conv_vae, mlp_vae

__all__ = ["VAE", "DigitClassifier", "conv_vae", "mlp_vae"]
