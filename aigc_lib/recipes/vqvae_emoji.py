"""VQ-VAE: an emoji as 8x8 words of 512; each names what one patch shows."""

import torch

from aigc_lib import data
from aigc_lib.models.vqvae import VQVAE, AveragedCodebook, decoder, encoder
from aigc_lib.training.codes import measured_codes, quantised
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, K, D = 3_000, 64, 512, 8
LEANS_ON = ()


def build() -> VQVAE:
    """The untrained network; its encoder sees each patch by itself."""
    first = encoder(D, 96, colours=3, kernel=1)
    return VQVAE(first, AveragedCodebook(K, D), decoder(D, 64, colours=3))


def load_data(own=None) -> Splits:
    """Pictures of emoji; whole groups of variants are held out."""
    if own is not None:
        raise ValueError(f"pictures {own}: this recipe is for the emoji of the course")
    training, held_out = (
        (data.emoji(split).images,) for split in ("train", "held out")
    )
    return Splits(training, held_out, data.checksum("emoji"))


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Copies and commitment by Adam, half of the pictures mirrored."""
    return quantised(build(), splits, accelerator, rng, batch_size=BATCH, flips=True)


def metrics(model: VQVAE, splits: Splits) -> dict[str, float]:
    """Copies of held-out emoji, and the use of the codes."""
    return measured_codes(model, splits)
