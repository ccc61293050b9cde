"""How long single operations and whole training steps take, in this process's precision."""

import time
from collections.abc import Callable
from itertools import islice

import torch
from loop import on_device
from torch import nn

from aigc_lib import losses, recipes, runtime
from aigc_lib.models.vae import mlp_vae
from aigc_lib.training.run import accelerate


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
            "matrix product 1024": milliseconds(lambda: a @ a),
            "convolution 3x3, 32 channels, 28x28": milliseconds(lambda: conv(x)),
            "the same, channels last": milliseconds(lambda: conv_last(last)),
            "group norm": milliseconds(lambda: norm(x)),
            "SiLU": milliseconds(lambda: nn.functional.silu(x)),
        }
    return single | {f"training step: {name}": milliseconds(step) for name, step in training_steps().items()}


def training_steps() -> dict[str, Callable[[], object]]:
    """Whole training steps: the recipes' own updates, and the dense VAE that the race has."""
    return {
        "MLP VAE, batch 128": dense_vae_step(),
        f"convolutional VAE, batch {recipes.recipe('vae').BATCH}": recipe_step("vae"),
        "convolutional GAN, both networks, batch 32": recipe_step("gan", skip=1),
    }


def recipe_step(name: str, skip: int = 0) -> Callable[[], object]:
    """The update that recipe `name` trains with, on one batch (the first after `skip`).

    At its first step, and then at every eighth, a GAN also has a gradient penalty: that is no usual step.
    """
    recipe, rng = recipes.recipe(name), runtime.seed(0)
    job = recipe.prepare(recipe.load_data(), accelerate(), rng)
    batch = on_device(next(islice(job.batches, skip, None)))
    return lambda: job.update(batch)


def dense_vae_step() -> Callable[[], object]:
    """Forward, loss, backward, Adam."""
    device = runtime.device()
    vae, x = mlp_vae().to(device), torch.rand(128, 1, 28, 28, device=device) * 2 - 1
    optimizer = torch.optim.Adam(vae.parameters(), fused=True)

    def step():
        with runtime.autocast():
            outputs = vae(x, torch.randn(128, vae.latent_dim, device=device))
        logits, mu, logvar = (output.float() for output in outputs)
        loss = losses.vae_loss(logits, x, mu, logvar)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
