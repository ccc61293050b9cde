"""The U-Net of DDPM, trained and sampled as there, against our recipe, and our recipe with one thing taken back.

Equal time of training, all rows in the faster precision of the machine. Each row draws the same number of images by
DDIM, in its own number of steps, and says how many a second that made. It is 1,000 images, since the baseline takes a
tenth of a second for each: their FDD is larger than that of 10,000, for real images too. SAMPLES=200 in the
environment draws fewer, for a try.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import torch
import torch.nn.functional as F
from loop import ablation, on_device, run_for
from torch import Tensor, nn

from aigc_lib import data, diffusion, evaluate, losses, recipes, runtime
from aigc_lib.models import unet_fast
from aigc_lib.models.unet import UNet
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.training import denoising as training
from aigc_lib.training.denoising import denoising, draw, middle_times

recipe = recipes.recipe("ddpm_mnist")
SAMPLES = int(os.environ.get("SAMPLES", "1000"))
BASELINE_STEPS, STEPS = 50, 20  # of DDIM
IMAGES = False  # the chapter measures real digits, as many as the rows have


def uniform_times(batch: int, n: int, rng: torch.Generator) -> Tensor:
    """Every time as often as any other (Ho et al. 2020)."""
    return torch.randint(n, (batch,), generator=rng)


def held_out() -> Tensor:
    """SAMPLES test digits, taken evenly."""
    images = data.mnist("test")[0]
    return images[:: len(images) // SAMPLES][:SAMPLES]


def reached(model: nn.Module, alpha_bar: Tensor, steps: int) -> dict:
    """The meter on SAMPLES images, drawn in `steps` steps of DDIM, and how many were drawn in a second."""
    model = model.eval()
    with runtime.autocast():
        draw(model, 100, alpha_bar, 1)  # what is done only once is not timed
        began = time.perf_counter()
        images = draw(model, SAMPLES, alpha_bar, steps)
    took = time.perf_counter() - began
    found = evaluate.measure(images, held_out(), recipes.digit_features())
    return {**found, "sampling_steps": steps, "images_per_second": SAMPLES / took}


def published(seconds: float, seed: int, schedule: bool = False, last: bool = False) -> dict:
    """The U-Net of DDPM, small enough for digits, without classes.

    Noise prediction at uniform times, 1000 of them with linearly rising variances, Adam 8e-4, batch 64, no average of
    the weights. Fed from memory, with a fused Adam: both favour it. `schedule`: with that of our recipe's learning
    rates; `last`: with the channels last in memory, which our recipe has too.
    """
    rng, alpha_bar = runtime.seed(seed), diffusion.linear_schedule(1000)
    model = UNet(dim=32, multipliers=(1, 2, 4), kind="eps").to(runtime.device())
    if last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-4, fused=True)

    def update(batch: tuple) -> dict:
        noise, t = torch.randn(batch[0].shape, generator=rng), uniform_times(len(batch[0]), 1000, rng)
        x, eps, t = on_device((*batch, noise, t))
        with runtime.autocast():
            output = model(diffusion.q_sample(x, t, eps, alpha_bar), t)
        loss = losses.denoising_loss(output.float(), eps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    stream = data.batches(data.mnist("train")[0], batch_size=64, generator=rng)
    steps = run_for(seconds, update, stream, [optimizer] if schedule else ())
    return {"steps": steps, **reached(model, alpha_bar, BASELINE_STEPS)}


def but(
    build: Callable[[], nn.Module] = recipe.build,
    *,
    times: Callable = middle_times,
    average: bool = True,
    sampling_steps: int = STEPS,
    **other: object,
) -> Callable:
    """Our recipe but for one thing."""

    def contender(seconds: float, seed: int) -> dict:
        def prepare(splits, accelerator, rng):
            return denoising(build(), splits, accelerator, rng, recipe.ALPHA_BAR, times=times)

        steps, job = ablation(prepare, recipe.load_data(), seconds, seed, **other)
        model = job.model if average else job.parts["model"]
        return {"steps": steps, **reached(model, recipe.ALPHA_BAR, sampling_steps)}

    return contender


def ddpm_unet() -> UNet:
    """The U-Net of DDPM, which is told the class and says v, as ours."""
    return UNet(classes=10, kind="v")


def says_eps() -> FastUNet:
    """Our network, whose output is read as eps."""
    model = recipe.build()
    model.kind = "eps"
    return model


def with_group_norm() -> FastUNet:
    """Our network with GroupNorm, over groups of channels and all places, where it has a norm over channels alone."""
    replaced(unet_fast, "channel_norm", partial(F.group_norm, num_groups=8))
    return recipe.build()


def without_attention() -> FastUNet:
    """Our network with nothing where its attention was."""
    model = recipe.build()
    model.attention = nn.Identity()
    return model


def by_adam() -> FastUNet:
    """Our network, whose blocks Adam trains too, at the rate of the rest."""
    replaced(training, "Muon", lambda filters, lr: torch.optim.Adam(filters, lr=2e-3, betas=(0.9, 0.99), fused=True))
    return recipe.build()


def replaced(module: ModuleType, name: str, other: Callable) -> None:
    """Put `other` in the place of what a module calls by this name, in this process, which runs one row."""
    assert callable(getattr(module, name))  # or there would be nothing to replace
    setattr(module, name, other)


ROWS = {
    "published": published,
    "plain baseline, our schedule": partial(published, schedule=True),
    "plain baseline, our memory layout": partial(published, last=True),
    "ours": but(),
    "ours but 50 sampling steps": but(sampling_steps=BASELINE_STEPS),
    "ours but eps": but(says_eps),
    "ours but uniform times": but(times=uniform_times),
    "ours but no averaging": but(average=False),
    "ours but a constant learning rate": but(schedule=False),
    "ours but no classes": but(lambda: FastUNet(classes=0)),
    "ours but Adam for Muon": but(by_adam),
    "ours but GroupNorm": but(with_group_norm),
    "ours but no attention": but(without_attention),
    "ours but the U-Net of DDPM": but(ddpm_unet),
    "ours but float32": but(fp32=True),
}
