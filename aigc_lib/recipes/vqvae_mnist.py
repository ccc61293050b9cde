"""VQ-VAE: a digit as 7x7 words from a dictionary of 128."""

import torch

from aigc_lib.models.vqvae import VQVAE, AveragedCodebook, decoder, encoder
from aigc_lib.training.codes import measured_codes, quantised
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS, BATCH, K, D = 3_000, 64, 128, 4
LEANS_ON = ()


def build() -> VQVAE:
    """The untrained network."""
    return VQVAE(encoder(D, 64), AveragedCodebook(K, D), decoder(D, 64))


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Copies and commitment by Adam, the codebook by averages."""
    return quantised(build(), splits, accelerator, rng, batch_size=BATCH)


def metrics(model: VQVAE, splits: Splits) -> dict[str, float]:
    """Copies of held-out digits, and the use of the codes."""
    return measured_codes(model, splits)
