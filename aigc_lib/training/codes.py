"""The training of models with discrete codes, and what is measured of them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from aigc_lib import data, evaluate
from aigc_lib.losses import bernoulli_nll, vqvae_loss
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits


def quantised(
    model: nn.Module,
    splits: Splits,
    accelerator,
    rng: torch.Generator,
    *,
    batch_size: int = 64,
    lr: float = 4e-3,
    flips: bool = False,
) -> Job:
    """Train a VQ-VAE with an averaged codebook; flips: half of the images mirrored.

    Of several processes each learns the codebook from its own rows, and all go on with
    that of the first: Accelerate shares a network's buffers before every step.
    """
    adam = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.99), fused=True)
    network, adam = accelerator.prepare(model, adam)
    h, w = model.encode(splits.training[0][:1].to(accelerator.device)).shape[1:]

    def batches() -> Iterator[tuple]:
        for (x,) in data.batches(
            *splits.training, batch_size=batch_size, generator=rng
        ):
            if flips:
                mirrored = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
                x = torch.where(mirrored, x.flip(-1), x)
            yield x, torch.rand(len(x), h, w, generator=rng)

    def update(batch):
        x, lots = batch
        logits, z, tokens = network(x)
        e = model.codebook.lookup(tokens)
        parts = vqvae_loss(logits.float(), x, z.float(), e)
        adam.zero_grad()
        accelerator.backward(parts["loss"])
        adam.step()
        model.codebook.learn(z, tokens, lots)
        return parts

    parts = {"model": model, "adam": adam}
    return Job(model, parts, batches(), update)


def encoded(model: nn.Module, images: Tensor, batch_size: int = 1000) -> Tensor:
    """The tokens (N, h, w) of all images, on the CPU."""
    device = next(model.parameters()).device
    return torch.cat(
        [model.encode(x.to(device)).cpu() for x in images.split(batch_size)]
    )


@torch.no_grad()
def measured_codes(model: nn.Module, splits: Splits) -> dict[str, float]:
    """On held-out images: nats of the copies, PSNR, codes in use, bits.

    The bits are those of a coder that knows how often each code stands at each place.
    """
    device, nats, copies = next(model.parameters()).device, 0.0, []
    images = splits.held_out[0]
    tokens = encoded(model, images)
    for some, x in zip(tokens.split(500), images.split(500), strict=True):
        logits = model.logits(some.to(device)).float().cpu()
        nats += bernoulli_nll(logits, x).sum().item()
        copies.append(2 * logits.sigmoid() - 1)
    use = evaluate.code_use(tokens, model.codebook.size)
    return {
        "test_nll": nats / len(images),
        "test_psnr": evaluate.psnr(torch.cat(copies), images),
        "test_bits": evaluate.grid_bits(tokens.flatten(1)),
    } | {f"codes_{name}": value for name, value in use.items()}
