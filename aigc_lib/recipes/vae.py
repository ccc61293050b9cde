"""Convolutional VAE with 20 latents; measured by N(0, I) and by a fitted prior."""

import torch

from aigc_lib import data
from aigc_lib.losses import vae_loss
from aigc_lib.models.vae import VAE, conv_vae
from aigc_lib.recipes.digits import features
from aigc_lib.training.priors import by_two_priors
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS, BATCH, D = 12_000, 128, 20
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> VAE:
    """The untrained network."""
    return conv_vae(latent_dim=D, channels=48)


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The negative ELBO by Adam."""
    vae = build()
    optimizer = torch.optim.Adam(vae.parameters(), lr=4e-3, fused=True)
    model, optimizer = accelerator.prepare(vae, optimizer)

    def batches():
        for (x,) in data.batches(*splits.training, batch_size=BATCH, generator=rng):
            yield x, torch.randn(BATCH, D, generator=rng)

    def update(batch):
        x, eps = batch
        # The loss in float32, always.
        logits, mu, logvar = (output.float() for output in model(x, eps))
        parts = vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        accelerator.backward(parts["loss"])
        optimizer.step()
        return parts

    parts = {"model": vae, "optimizer": optimizer}
    return Job(vae, parts, batches(), update)


def metrics(vae: VAE, splits: Splits) -> dict[str, float]:
    """-ELBO in nats and the meter, on held-out images."""
    return by_two_priors(vae, splits, features())
