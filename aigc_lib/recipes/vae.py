"""The recipe of the VAE chapter."""

import time

import torch

from aigc_lib import data, runtime
from aigc_lib.data.files import checksum
from aigc_lib.evaluate import negative_elbo
from aigc_lib.fit import fit, progress, warmup_cosine
from aigc_lib.losses import vae_loss
from aigc_lib.models import VAE

STEPS, BATCH, PEAK_LR = 12_000, 128, 2e-3


def build_vae() -> VAE:
    """The untrained network."""
    return VAE(latent_dim=20)


def train_vae(*, steps: int | None = None, seconds: float | None = None, seed: int = 0) -> tuple[VAE, dict]:
    """Convolutional VAE with 20 latents on MNIST.

    Trains for `steps` (default 12,000) or `seconds`. Returns the model, in evaluation mode, and the facts for its card.
    """
    if steps is None and seconds is None:
        steps = STEPS
    generator = runtime.seed(seed)
    device = runtime.device()
    images, _ = data.mnist("train")
    model = build_vae().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=PEAK_LR)
    used = progress(steps=steps, seconds=seconds)

    def update(batch):
        (x,) = batch
        optimizer.param_groups[0]["lr"] = PEAK_LR * warmup_cosine(used())
        with runtime.autocast():
            logits, mu, logvar = model(x, generator)
        losses = vae_loss(logits.float(), x, mu.float(), logvar.float())
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    start = time.perf_counter()
    stream = data.batches(images, batch_size=BATCH, generator=generator, device=device)
    for step, _ in fit(update, stream, steps=steps, seconds=seconds):  # noqa: B007
        pass
    took = time.perf_counter() - start
    test, _ = data.mnist("test")
    metrics = {
        f"test_{name}": value for name, value in negative_elbo(model.eval(), test, generator, device=device).items()
    }
    return model, {
        "metrics": metrics,
        "steps": step,
        "seconds": round(took, 1),
        "seed": seed,
        "data_sha256": checksum("mnist"),
        **runtime.facts(),
    }
