"""Autoencoder of latent diffusion: shapes and emoji as 8x8 places of four numbers."""

from hashlib import sha256

import torch

from aigc_lib import data, evaluate
from aigc_lib.data import shapes
from aigc_lib.models.kl_autoencoder import KLAutoencoder
from aigc_lib.training.latents import autoencoding, encoded
from aigc_lib.training.pairs import shape_pairs
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, BETA = 1_800, 64, 0.1
DRAWN = 1_500  # pictures of shapes, beside about as many emoji
LEANS_ON = ()


def build() -> KLAutoencoder:
    """The untrained network."""
    return KLAutoencoder()


def load_data(own=None) -> Splits:
    """Pictures of shapes and of emoji together; held out is what others hold out."""
    pairs = shape_pairs(own)
    drawn, _ = shapes.shapes(DRAWN, generator=torch.Generator().manual_seed(0))
    training = torch.cat([drawn, data.emoji("train").images])
    held_out = torch.cat([pairs.held_out[0], data.emoji("held out").images])
    checksum = sha256((pairs.sha256 + data.checksum("emoji")).encode()).hexdigest()
    return Splits((training,), (held_out,), checksum)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The absolute error of copies, and a KL that hardly counts."""
    return autoencoding(build(), splits, accelerator, rng, beta=BETA, batch_size=BATCH)


def metrics(model: KLAutoencoder, splits: Splits) -> dict[str, float]:
    """Copies of held-out pictures, and the deviation of their latents."""
    images = splits.held_out[0]
    latents = encoded(model, images)
    with torch.no_grad():
        copies = torch.cat([model.decode(z).clamp(-1, 1) for z in latents.split(500)])
    emoji = len(data.emoji("held out").images)
    parts = {"shapes": slice(None, -emoji), "emoji": slice(-emoji, None)}
    found = {"latent_std": latents.std().item()}
    for name, rows in parts.items():
        if len(images[rows]):
            found[f"test_psnr_{name}"] = evaluate.psnr(copies[rows], images[rows])
    return found
