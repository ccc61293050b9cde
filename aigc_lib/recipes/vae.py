"""The recipe of the VAE chapter: a convolutional VAE with 20 latents."""

from pathlib import Path

import torch
from torch import Tensor

from aigc_lib import data
from aigc_lib.evaluate import measure, negative_elbo
from aigc_lib.fit import progress, warmup_cosine
from aigc_lib.losses import vae_loss
from aigc_lib.models import VAE, conv_vae
from aigc_lib.recipes import digits
from aigc_lib.recipes.run import accelerator, mean_over_processes, my_rows, resumable
from aigc_lib.sample import from_prior

STEPS, BATCH, PEAK_LR = 12_000, 128, 2e-3


def build() -> VAE:
    """The untrained network."""
    return conv_vae(latent_dim=20)


def train(
    *, state: Path, steps: int | None, seconds: float | None, seed: int, images: Tensor, identity: dict, resume: bool
) -> tuple[VAE, int]:
    """Convolutional VAE with 20 latents; images (N, 1, 28, 28) in [-1, 1]. Returns it and the steps done."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    accelerate = accelerator()
    vae = build()
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    model, optimizer = accelerate.prepare(vae, optimizer)
    used = progress(steps=steps, seconds=seconds)

    def stream():
        for step, (x,) in enumerate(data.batches(images, batch_size=BATCH, generator=generator)):
            yield step, x, torch.randn(BATCH, vae.latent_dim, generator=generator)

    def update(batch):
        step, x, eps = batch
        x, eps = my_rows(x, accelerate), my_rows(eps, accelerate)
        optimizer.param_groups[0]["lr"] = PEAK_LR * warmup_cosine(used(step))
        logits, mu, logvar = (output.float() for output in model(x, eps))  # the loss in float32, always
        parts = vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        accelerate.backward(parts["loss"])
        optimizer.step()
        return mean_over_processes(parts, accelerate)

    parts = {"model": vae, "optimizer": optimizer}
    limits = {"steps": steps, "seconds": seconds, "resume": resume}
    for step, _ in resumable(update, stream(), parts, state, identity, **limits, accelerator=accelerate):  # noqa: B007
        pass
    return vae.eval(), step


def metrics(vae: VAE, held_out: Tensor) -> dict[str, float]:
    """-ELBO in nats and the meter of prior samples, on held-out images."""
    generator = torch.Generator().manual_seed(0)
    elbo = {f"test_{name}": value for name, value in negative_elbo(vae, held_out, generator).items()}
    device = next(vae.parameters()).device
    samples = from_prior(vae.images, len(held_out), vae.latent_dim, generator, device).cpu()
    return elbo | measure(samples, held_out, digits.features())
