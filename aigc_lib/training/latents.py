"""The two trainings of latent diffusion as `Job`s: the autoencoder, then the U-Net."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aigc_lib import data, diffusion
from aigc_lib.data import shapes
from aigc_lib.losses import denoising_loss, kl_autoencoder_loss
from aigc_lib.models.kl_autoencoder import KLAutoencoder
from aigc_lib.models.unet_text import TextUNet
from aigc_lib.sample.latents import no_prompt
from aigc_lib.training.denoising import DECAY, UNLABELLED, middle_times
from aigc_lib.training.muon import Muon
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

WHOLE = 0.7  # the share of captions that say all three properties
WORDINGS, PARTS = 4, 6  # whole captions of one combination, and shorter ones


def autoencoding(
    model: KLAutoencoder,
    splits: Splits,
    accelerator,
    rng: torch.Generator,
    *,
    beta: float,
    batch_size: int = 64,
    lr: float = 2e-3,
    muon_lr: float = 0.02,
) -> Job:
    """Copies of `splits`' images, half of them mirrored, with a KL of weight beta."""
    muon, adam = optimizers(model, [model.encoder[1:], model.decoder], lr, muon_lr)
    network, muon, adam = accelerator.prepare(model, muon, adam)

    def batches() -> Iterator[tuple]:
        for (x,) in data.batches(
            *splits.training, batch_size=batch_size, generator=rng
        ):
            mirrored = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
            shape = len(x), model.D, x.shape[2] // 4, x.shape[3] // 4
            yield x, torch.randn(shape, generator=rng)

    def update(batch):
        x, eps = batch
        output, mu, logvar = network(x, eps)
        parts = kl_autoencoder_loss(output.float(), x, mu.float(), logvar.float(), beta)
        _step(accelerator, parts["loss"], muon, adam)
        return parts

    parts = {"model": model, "muon": muon, "adam": adam}
    return Job(model, parts, batches(), update)


def text_diffusion(
    unet: TextUNet,
    texts: Tensor,
    splits: Splits,
    accelerator,
    rng: torch.Generator,
    alpha_bar: Tensor,
    *,
    pick: Callable[[Tensor, torch.Generator], Tensor],
    batch_size: int = 64,
    lr: float = 2e-3,
    muon_lr: float = 0.02,
) -> Job:
    """v of the latents of `splits`, given rows of `texts` (M, S, C), the last "none".

    splits.training: latents (N, D, h, w), not yet scaled, and keys (N,); pick(keys,
    rng) gives the row of `texts` for each. One row in ten becomes "none". What is kept
    is the moving average of the weights, with the scale of these latents.
    """
    latents, keys = splits.training
    n = len(diffusion.expect_schedule(alpha_bar))
    unet.scale.fill_(1 / latents.std())
    decay = get_ema_multi_avg_fn(DECAY)
    average = AveragedModel(unet, accelerator.device, multi_avg_fn=decay)
    muon, adam = optimizers(unet, unet.stages, lr, muon_lr)
    network, muon, adam = accelerator.prepare(unet, muon, adam)
    texts = texts.to(accelerator.device)

    def batches() -> Iterator[tuple]:
        for z, key in data.batches(latents, keys, batch_size=batch_size, generator=rng):
            row = pick(key, rng)
            hidden = torch.rand(batch_size, generator=rng) < UNLABELLED
            row = torch.where(hidden, len(texts) - 1, row)
            noise = torch.randn(z.shape, generator=rng)
            yield z, row, middle_times(batch_size, n, rng), noise

    def update(batch):
        z, row, t, eps = batch
        x0 = unet.scale * z
        xt = diffusion.q_sample(x0, t, eps, alpha_bar)
        wanted = diffusion.target("v", x0, t, eps, alpha_bar)
        loss = denoising_loss(network(xt, t, texts[row]).float(), wanted)
        _step(accelerator, loss, muon, adam)
        average.update_parameters(unet)
        return {"loss": loss}

    parts = {"model": unet, "average": average, "muon": muon, "adam": adam}
    return Job(average.module, parts, batches(), update)


def optimizers(
    model: nn.Module, inside: Iterable[nn.Module], lr: float, muon_lr: float
) -> tuple[Muon, torch.optim.Adam]:
    """Muon for filters and matrices inside these parts, Adam for all else."""
    hidden = [
        p
        for part in inside
        for name, p in part.named_parameters()
        if p.ndim > 1 and "film" not in name
    ]
    known = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in known]
    adam = torch.optim.Adam(rest, lr=lr, betas=(0.9, 0.99), fused=True)
    return Muon(hidden, lr=muon_lr), adam


@torch.no_grad()
def encoded(autoencoder: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """The means of the latents of all images, on the CPU, not scaled."""
    device = next(autoencoder.parameters()).device
    return torch.cat(
        [autoencoder.encode(x.to(device))[0].cpu() for x in images.split(batch_size)]
    )


@torch.no_grad()
def read(clip: nn.Module, tokens: Tensor) -> Tensor:
    """What CLIP's text tower makes of tokens (M, S), and of no text: (M + 1, S, C)."""
    texts = [clip.text(some) for some in tokens.split(500)]
    return torch.cat([*texts, no_prompt(clip, 1)])


def shape_texts(labels: Tensor) -> list[str]:
    """Ten texts for each combination (K, 3): four whole captions, six parts of one.

    The parts name two properties, or one: "a red circle", "a circle at the top", "red,
    at the top", "red", "a circle", "at the top".
    """
    found = []
    for c, s, p in labels.tolist():
        colour, shape, position = (
            names[i] for names, i in zip(shapes.NAMES, (c, s, p), strict=True)
        )
        place = "in the centre" if position == "centre" else f"at the {position}"
        found += [
            f"a {colour} {shape} {place}",
            f"{place}, a {colour} {shape}",
            f"a {shape} {place}, {colour}",
            f"{colour} {shape}, {position}",
            f"a {colour} {shape}",
            f"a {shape} {place}",
            f"{colour}, {place}",
            f"{colour}",
            f"a {shape}",
            f"{place}",
        ]
    return found


def any_wording(keys: Tensor, rng: torch.Generator) -> Tensor:
    """Rows of `shape_texts` for combinations (B,): mostly a whole caption."""
    n = len(keys)
    whole = torch.randint(WORDINGS, (n,), generator=rng)
    part = WORDINGS + torch.randint(PARTS, (n,), generator=rng)
    says_all = torch.rand(n, generator=rng) < WHOLE
    return keys * (WORDINGS + PARTS) + torch.where(says_all, whole, part)


def _step(accelerator, loss: Tensor, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    accelerator.backward(loss)
    for optimizer in optimizers:
        optimizer.step()
