"""The recipe of the VAE chapter: a convolutional VAE with 20 latents."""

from pathlib import Path

import torch
from torch import Tensor

from aigc_lib import data
from aigc_lib.data.toy import Mixture
from aigc_lib.evaluate import measure, negative_elbo
from aigc_lib.fit import progress, warmup_cosine
from aigc_lib.losses import vae_loss
from aigc_lib.models.vae import VAE, conv_vae
from aigc_lib.recipes import digits
from aigc_lib.recipes.run import (
    accelerator,
    last_step,
    mean_over_processes,
    my_rows,
    resumable,
)
from aigc_lib.sample import fit_prior, from_prior

STEPS, BATCH, PEAK_LR = 12_000, 128, 4e-3
labelled = False


def build() -> VAE:
    """The untrained network."""
    return conv_vae(latent_dim=20, channels=48)


def train(
    *,
    state: Path,
    steps: int | None,
    seconds: float | None,
    seed: int,
    images: Tensor,
    identity: dict,
    resume: bool,
) -> tuple[VAE, int]:
    """Convolutional VAE with 20 latents; images (N, 1, 28, 28) in [-1, 1].

    Returns it and the steps done.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    accelerate = accelerator()
    vae = build()
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)
    model, optimizer = accelerate.prepare(vae, optimizer)
    used = progress(steps=steps, seconds=seconds)

    def stream():
        for step, (x,) in enumerate(
            data.batches(images, batch_size=BATCH, generator=generator)
        ):
            yield step, x, torch.randn(BATCH, vae.latent_dim, generator=generator)

    def update(batch):
        step, x, eps = batch
        x, eps = my_rows(x, accelerate), my_rows(eps, accelerate)
        optimizer.param_groups[0]["lr"] = PEAK_LR * warmup_cosine(used(step))
        logits, mu, logvar = (
            output.float() for output in model(x, eps)
        )  # the loss in float32, always
        parts = vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        accelerate.backward(parts["loss"])
        optimizer.step()
        return mean_over_processes(parts, accelerate)

    parts = {"model": vae, "optimizer": optimizer}
    limits = {"steps": steps, "seconds": seconds, "resume": resume}
    done = last_step(
        resumable(
            update, stream(), parts, state, identity, **limits, accelerator=accelerate
        )
    )
    return vae.eval(), done


def metrics(
    vae: VAE, training: dict[str, Tensor], held_out: dict[str, Tensor]
) -> dict[str, float]:
    """-ELBO in nats and the meter on held-out images, by two priors.

    One is N(0, I), the other is fitted to training codes.
    """
    images, device = held_out["images"], next(vae.parameters()).device
    prior = fitted_prior(vae, training["images"])
    row = {}
    for suffix, choice in {"": None, "_fitted": prior}.items():
        generator = torch.Generator().manual_seed(0)
        elbo = negative_elbo(vae, images, generator, prior=choice)
        samples = from_prior(
            vae.images, len(images), vae.latent_dim, generator, device, choice
        ).cpu()
        row |= {f"test_{name}{suffix}": value for name, value in elbo.items()}
        row |= {
            f"{name}{suffix}": value
            for name, value in measure(samples, images, digits.features()).items()
        }
    return row


@torch.no_grad()
def fitted_prior(vae: VAE, images: Tensor, components: int = 20) -> Mixture:
    """A mixture fitted to the codes of at most 20,000 images: a better prior."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for x in images[:20_000].split(1000):
        mu, logvar = (t.cpu() for t in vae.encode(x.to(next(vae.parameters()).device)))
        parts.append(
            mu + (0.5 * logvar).exp() * torch.randn(mu.shape, generator=generator)
        )
    codes = torch.cat(parts)
    return fit_prior(codes, min(components, len(codes) // 100 + 1), generator=generator)
