"""How long single operations and whole training steps take, in this process's precision."""

import time
from collections.abc import Callable
from itertools import islice

import torch
from loop import on_device
from torch import nn

from aigc_lib import recipes, runtime
from aigc_lib.models.vae import mlp_vae
from aigc_lib.training.adversarial import BATCH
from aigc_lib.training.run import Job, accelerate
from aigc_lib.training.splits import Splits


def milliseconds(step: Callable[[], object], repeat: int = 20) -> float:
    """The median time of a call, after three that warm up."""
    times = []
    for _ in range(repeat + 3):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    return sorted(times[3:])[repeat // 2]


def speed() -> dict:
    """One operation at a time in this process's precision, and one training step of a few networks."""
    dtype = torch.bfloat16 if runtime.precision() == "bf16" else torch.float32
    a = torch.randn(1024, 1024).to(dtype)
    x = torch.randn(128, 32, 28, 28).to(dtype)
    conv = nn.Conv2d(32, 32, 3, padding=1).to(dtype)
    norm, last = nn.GroupNorm(8, 32).to(dtype), x.to(memory_format=torch.channels_last)
    conv_last = nn.Conv2d(32, 32, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        single = {
            "matrix product, 1024x1024": milliseconds(lambda: a @ a),
            "convolution 3x3 of 128 images, 32 channels, 28x28": milliseconds(lambda: conv(x)),
            "the same, channels last": milliseconds(lambda: conv_last(last)),
            "group norm of these images": milliseconds(lambda: norm(x)),
            "SiLU of these images": milliseconds(lambda: nn.functional.silu(x)),
        }
    return single | {f"training step: {name}": milliseconds(step) for name, step in training_steps().items()}


def training_steps() -> dict[str, Callable[[], object]]:
    """Whole training steps: the recipes' own updates, and the VAE's with the dense network in its place."""
    vae, gan = recipes.recipe("vae"), recipes.recipe("gan")
    return {
        f"VAE recipe, batch {vae.BATCH}": step_of(vae.load_data(), vae.prepare),
        f"VAE recipe but the dense network, batch {vae.BATCH}": step_of(vae.load_data(), dense),
        f"GAN recipe, D and G, no R1, batch {BATCH}": step_of(gan.load_data(), gan.prepare, skip=1),
    }


def dense(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """What the VAE recipe prepares, with the dense network that its race has."""
    return recipes.recipe("vae").elbo_job(mlp_vae(latent_dim=20, hidden=400), splits, accelerator, rng)


def step_of(splits: Splits, prepare: Callable[..., Job], skip: int = 0) -> Callable[[], object]:
    """The update of a job, on one batch (the first after `skip`).

    At its first step, and then at every eighth, a GAN also has a gradient penalty: that is no usual step.
    """
    rng = runtime.seed(0)
    job = prepare(splits, accelerate(), rng)
    batch = on_device(next(islice(job.batches, skip, None)))
    return lambda: job.update(batch)
