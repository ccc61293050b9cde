"""The training of a network that takes noise away, as a `Job`."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aigc_lib import data, diffusion
from aigc_lib.evaluate import measure
from aigc_lib.evaluate.samples import Features
from aigc_lib.losses import denoising_loss
from aigc_lib.sample.diffusion import ddim, denoiser, last, timesteps
from aigc_lib.training.muon import Muon
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

UNLABELLED = 0.1  # the share of images whose class is hidden, for guidance
ANYWHERE = 0.1  # the share of times that are drawn evenly from all
DECAY = 0.998  # of the moving average of the weights


def middle_times(batch: int, n: int, rng: torch.Generator) -> Tensor:
    """Times (B,) of the cosine schedule, most of them where noise and signal are equal.

    The logarithm of the signal-to-noise ratio is about normal with deviation 2, as if
    flow matching's time were logit-normal (Esser et al. 2024, arXiv:2403.03206). That
    alone would never draw the first and the last times, so some are drawn from all.
    """
    angle = torch.atan(torch.randn(batch, generator=rng).exp())  # 0 to pi / 2
    middle = (n * angle / (math.pi / 2)).long().clamp(max=n - 1)
    anywhere = torch.randint(n, (batch,), generator=rng)
    return torch.where(torch.rand(batch, generator=rng) < ANYWHERE, anywhere, middle)


def denoising(
    model: nn.Module,
    splits: Splits,
    accelerator,
    rng: torch.Generator,
    alpha_bar: Tensor,
    *,
    batch_size: int = 64,
    lr: float = 2e-3,
    muon_lr: float = 0.02,
    times=middle_times,
    told: Callable | None = None,
) -> Job:
    """Train on images and classes of `splits`; what is kept is the moving average.

    Muon for the filters and matrices of the blocks, Adam for all other parameters.
    told(*rows, rng): what the network is told beside the time, of rows of the splits;
    by default their classes, at times hidden, or nothing if it knows none. Raises
    ValueError unless the images are floats in [-1, 1], some of them below 0, and for a
    schedule that does not fall.
    """
    n = len(diffusion.expect_schedule(alpha_bar))
    _expect_range(splits.training[0])
    model = model.to(memory_format=torch.channels_last)
    decay = get_ema_multi_avg_fn(DECAY)
    average = AveragedModel(model, accelerator.device, multi_avg_fn=decay)
    hidden, rest = inside_blocks(model)
    muon = Muon(hidden, lr=muon_lr)
    adam = torch.optim.Adam(rest, lr=lr, betas=(0.9, 0.99), fused=True)
    network, muon, adam = accelerator.prepare(model, muon, adam)
    alone = told is None and not model.classes  # told nothing but the time
    told = told or partial(_class_or_none, model.classes)

    def batches() -> Iterator[tuple]:
        for rows in data.batches(
            *splits.training, batch_size=batch_size, generator=rng
        ):
            x, y = rows[0], told(*rows, rng)
            noise = torch.randn(x.shape, generator=rng)
            yield x, y, times(batch_size, n, rng), noise

    def update(batch):
        x, y, t, eps = batch
        xt = diffusion.q_sample(x, t, eps, alpha_bar)
        wanted = diffusion.target(model.kind, x, t, eps, alpha_bar)
        output = network(xt, t) if alone else network(xt, t, y)
        loss = denoising_loss(output.float(), wanted)
        muon.zero_grad()
        adam.zero_grad()
        accelerator.backward(loss)
        muon.step()
        adam.step()
        average.update_parameters(model)
        return {"loss": loss}

    parts = {"model": model, "average": average, "muon": muon, "adam": adam}
    return Job(average.module, parts, batches(), update)


def _class_or_none(classes: int, _: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """The classes (B,); those that are hidden are `classes`, which means none."""
    hidden = torch.rand(len(y), generator=rng) < UNLABELLED
    return torch.where(hidden, classes, y)


def inside_blocks(model: nn.Module) -> tuple[list, list]:
    """The filters and matrices of a `FastUNet`'s blocks, and all other parameters."""
    blocks = nn.ModuleList([model.down, model.middle, model.attention, model.up])
    hidden = [
        p for name, p in blocks.named_parameters() if p.ndim > 1 and "film" not in name
    ]
    known = {id(p) for p in hidden}
    return hidden, [p for p in model.parameters() if id(p) not in known]


def measured(
    model: nn.Module,
    splits: Splits,
    features: Features,
    alpha_bar: Tensor,
    samples: int = 2000,
) -> dict[str, float]:
    """The meter by DDIM in 50 and in 20 steps, without guidance, classes in turn.

    `samples` of each against as many held-out images, taken evenly: drawing 10,000
    costs minutes. So this Fréchet distance is larger than that of other recipes.
    """
    images = splits.held_out[0]
    images = images[:: max(1, len(images) // samples)][:samples]
    found = {}
    for steps in (50, 20):
        drawn = draw(model, len(images), alpha_bar, steps)
        some = measure(drawn, images, features)
        found |= {f"{key}_{steps}": value for key, value in some.items()}
    return found


def draw(
    model: nn.Module, n: int, alpha_bar: Tensor, steps: int, batch_size: int = 500
) -> Tensor:
    """n images (n, C, 28, 28) on the CPU by DDIM, the classes in turn."""
    rng, device = torch.Generator().manual_seed(0), next(model.parameters()).device
    times, found = timesteps(len(alpha_bar), steps), []
    for rows in torch.arange(n).split(batch_size):
        x = torch.randn(len(rows), model.channels, 28, 28, generator=rng).to(device)
        y = (rows % model.classes).to(device) if model.classes else None
        by = denoiser(model, alpha_bar, y)
        found.append(last(ddim(by, x, alpha_bar, times)).clamp(-1, 1).cpu())
    return torch.cat(found)


def _expect_range(images: Tensor) -> None:
    """Raise ValueError for images that are not in [-1, 1], such as those in [0, 1]."""
    low, high = float(images.min()), float(images.max())
    if not images.is_floating_point() or not -1 <= low < 0 < high <= 1:
        raise ValueError(
            f"images of type {images.dtype} from {low:g} to {high:g}: "
            "expected floats in [-1, 1], where -1 is black and 1 is white"
        )
