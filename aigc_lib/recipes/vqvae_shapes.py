"""VQ-VAE: a coloured shape as 8x8 words of 256; each names what one patch shows."""

import torch

from aigc_lib import data
from aigc_lib.models.vqvae import VQVAE, AveragedCodebook, decoder, encoder
from aigc_lib.training.codes import measured_codes, quantised
from aigc_lib.training.pairs import shape_pairs
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, K, D = 2_000, 64, 256, 8
TRAINING = 10_000  # pictures, drawn once
LEANS_ON = ()


def build() -> VQVAE:
    """The untrained network; its encoder sees each patch by itself."""
    first = encoder(D, 64, colours=3, kernel=1)
    return VQVAE(first, AveragedCodebook(K, D), decoder(D, 48, colours=3))


def load_data(own=None) -> Splits:
    """Pictures of shapes; those of the held-out combinations are held out here too."""
    pairs = shape_pairs(own)
    rng = torch.Generator().manual_seed(0)
    pictures, _ = data.shapes.shapes(TRAINING, generator=rng)
    return Splits((pictures,), pairs.held_out[:1], pairs.sha256)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Copies and commitment by Adam, the codebook by averages."""
    return quantised(build(), splits, accelerator, rng, batch_size=BATCH)


def metrics(model: VQVAE, splits: Splits) -> dict[str, float]:
    """Copies of combinations not seen in training, and the use of the codes."""
    return measured_codes(model, splits)
