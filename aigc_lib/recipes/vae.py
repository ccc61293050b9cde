"""Convolutional VAE with 20 latents; measured by N(0, I) and by a fitted prior."""

import torch

from aigc_lib import data
from aigc_lib.losses import vae_loss
from aigc_lib.models.vae import VAE, conv_vae
from aigc_lib.recipes.digits import features
from aigc_lib.training.priors import by_two_priors
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS, BATCH, D = 16_000, 64, 20
BETAS = (0.9, 0.99)
LEANS_ON = ("digits",)  # the meter's checkpoint


def build() -> VAE:
    """The untrained network."""
    return conv_vae(latent_dim=D)


def load_data(own=None) -> Splits:
    """MNIST without labels, or pictures of the reader's own."""
    return digit_images(own, at_least=2 * BATCH)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The negative ELBO by Adam."""
    return elbo_job(build(), splits, accelerator, rng)


def elbo_job(vae, splits, accelerator, rng, *, batch_size=BATCH, lr=4e-3) -> Job:
    """Train any VAE as this recipe does."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr, betas=BETAS, fused=True)
    model, optimizer = accelerator.prepare(vae, optimizer)

    def batches():
        stream = data.batches(*splits.training, batch_size=batch_size, generator=rng)
        for (x,) in stream:
            yield x, torch.randn(batch_size, vae.latent_dim, generator=rng)

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
