"""The training of two networks against each other: G makes, D tells it from data."""

from collections.abc import Callable, Iterator

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aigc_lib import data, losses
from aigc_lib.evaluate import measure
from aigc_lib.evaluate.samples import Features
from aigc_lib.models.gan import append_label
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

BATCH, CLASSES = 32, 10
BETAS = (0.0, 0.99)  # no momentum: the opponent has moved since
# R1 at every eighth step, eight times as strong (Karras et al. 2020, arXiv:1912.04958,
# appendix B).
LAZY = 8
DECAY = 0.998  # of the moving average of the generator's weights


def gaussian(G: nn.Module, images: Tensor, *, rng: torch.Generator) -> Tensor:
    """Inputs of an unconditional generator for images (B, ...): (B, latent_dim)."""
    return torch.randn(len(images), G.latent_dim, generator=rng)


def gaussian_and_label(
    G: nn.Module, images: Tensor, labels: Tensor, *, rng: torch.Generator
) -> Tensor:
    """Inputs (B, latent_dim) of a conditional generator: noise, a one-hot label."""
    noise = torch.randn(len(images), G.latent_dim - CLASSES, generator=rng)
    return append_label(noise, labels, CLASSES)


def unconditional(D: nn.Module, x: Tensor) -> Tensor:
    """The logits (B,) of a discriminator that sees images alone."""
    return D(x)


def adversarial(
    G: nn.Module,
    D: nn.Module,
    splits: Splits,
    accelerator: Accelerator,
    rng: torch.Generator,
    *,
    d_loss: Callable[[Tensor, Tensor], Tensor] = losses.discriminator_loss,
    g_loss: Callable[[Tensor], Tensor] = losses.generator_loss,
    r1: float = 0.3,
    lr_g: float = 4e-3,
    lr_d: float = 4e-3,
    noise: Callable[..., Tensor] = gaussian,
    logits: Callable[..., Tensor] = unconditional,
) -> Job:
    """Train G and D in turn; what is kept is the moving average of G.

    d_loss(real, fake) and g_loss(fake) take logits; r1 weighs the gradient penalty at
    real images. lr_g and lr_d are the highest learning rates: `run` scales them at
    every step. noise(G, x, *y, rng=rng) draws G's inputs for a batch and
    logits(D, x, *y) asks D, where y are the labels, if the training data have any.
    """
    if accelerator.num_processes > 1:
        raise ValueError(
            f"{accelerator.num_processes} processes: adversarial recipes run in one"
        )
    G, D = (net.to(memory_format=torch.channels_last) for net in (G, D))  # faster
    average = _moving_average(G, accelerator.device)
    G, D = accelerator.prepare(G, D)
    for_g = torch.optim.Adam(G.parameters(), lr=lr_g, betas=BETAS, fused=True)
    for_d = torch.optim.Adam(D.parameters(), lr=lr_d, betas=BETAS, fused=True)
    update_d = _discriminator_turn(G, D, for_d, d_loss, r1, logits)
    update_g = _generator_turn(G, D, for_g, g_loss, logits, average)

    def update(batch):
        step, z_d, z_g, x, *y = batch
        loss_d = update_d(step, z_d, x, *y)
        return {"discriminator": loss_d, "generator": update_g(z_g, *y)}

    parts = {"G": G, "D": D, "average": average, "for_g": for_g, "for_d": for_d}
    return Job(average.module, parts, _batches(splits, G, noise, rng), update)


def _moving_average(G: nn.Module, device: torch.device) -> AveragedModel:
    """A copy of G that follows it slowly, buffers included."""
    decay = get_ema_multi_avg_fn(DECAY)
    return AveragedModel(G, device, multi_avg_fn=decay, use_buffers=True)


def _batches(splits, G, noise, rng) -> Iterator[tuple]:
    """(step, inputs for D's turn, inputs for G's turn, images, labels if any)."""
    stream = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    for step, batch in enumerate(stream):
        z_d, z_g = (noise(G, *batch, rng=rng) for _ in range(2))
        yield step, z_d, z_g, *batch


def _discriminator_turn(G, D, optimizer, d_loss, r1, logits) -> Callable[..., Tensor]:
    """An update of D by its loss at real images x, and at fake ones made from z."""

    def update_d(step, z, x, *y):
        with torch.no_grad():
            fake = G(z)
        twice = (torch.cat([label, label]) for label in y)
        real_and_fake = logits(D, torch.cat([x, fake]), *twice)
        loss = total = d_loss(*real_and_fake.chunk(2))
        if r1 and step % LAZY == 0:
            slope = losses.r1_penalty(lambda real: logits(D, real, *y), x)
            total = loss + LAZY * r1 * slope
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        return loss

    return update_d


def _generator_turn(G, D, optimizer, g_loss, logits, average) -> Callable[..., Tensor]:
    """An update of G by what D says of fakes made from z, and of its moving average."""

    def update_g(z, *y):
        D.requires_grad_(False)  # its gradients would be computed and thrown away
        loss = g_loss(logits(D, G(z), *y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        D.requires_grad_(True)
        average.update_parameters(G)
        return loss

    return update_g


@torch.no_grad()
def draw(G: nn.Module, z: Tensor, batch_size: int = 500) -> Tensor:
    """The images of many inputs z (N, latent_dim), in float32 on the CPU."""
    device = next(G.parameters()).device
    return torch.cat([G(part.to(device)).float().cpu() for part in z.split(batch_size)])


def measured(
    G: nn.Module,
    splits: Splits,
    features: Features,
    noise: Callable[..., Tensor] = gaussian,
) -> dict[str, float]:
    """The meter on as many samples as held-out images; labels, if any, evenly."""
    images, *labels = splits.held_out
    evenly = [torch.arange(len(images)) % CLASSES for _ in labels]
    z = noise(G, images, *evenly, rng=torch.Generator().manual_seed(0))
    return measure(draw(G, z), images, features)
