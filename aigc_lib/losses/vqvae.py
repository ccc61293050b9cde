"""The losses of models with discrete codes."""

import math

import torch
from torch import Tensor

from aigc_lib.losses.vae import bernoulli_nll


def codebook_loss(z: Tensor, e: Tensor) -> Tensor:
    """|stop(z) - e|^2 for each image: it pulls the codes e towards z, and nothing else.

    z, e (B, D, h, w) -> (B,), sums over all of an image (arXiv:1711.00937, eq. 3).
    """
    _same_shape(z, e)
    return (z.detach() - e).square().flatten(1).sum(1)


def commitment_loss(z: Tensor, e: Tensor) -> Tensor:
    """|z - stop(e)|^2 for each image: it pulls the encoder's z towards the codes e.

    z, e (B, D, h, w) -> (B,), sums over all of an image (arXiv:1711.00937, eq. 3).
    """
    _same_shape(z, e)
    return (z - e.detach()).square().flatten(1).sum(1)


def vqvae_loss(
    logits: Tensor, x: Tensor, z: Tensor, e: Tensor, beta: float = 0.25
) -> dict[str, Tensor]:
    """ "loss" = "nll" + "codebook" + beta * "commitment", means over the batch.

    logits, x (B, C, H, W), x in [-1, 1]; z (B, D, h, w) is what the encoder said, and
    e the codes of its tokens. Where e has no gradient, as with moving averages, the
    part "codebook" moves nothing.
    """
    nll = bernoulli_nll(logits, x).mean()
    codebook, commitment = codebook_loss(z, e).mean(), commitment_loss(z, e).mean()
    loss = nll + codebook + beta * commitment
    return {"loss": loss, "nll": nll, "codebook": codebook, "commitment": commitment}


def uniform_kl(logits: Tensor) -> Tensor:
    """KL(softmax(logits) || all codes equally likely) in nats: (B, K, h, w) -> (B,).

    It is log K minus the entropy, summed over the places of an image.
    """
    log_q = logits.log_softmax(dim=1)
    each = math.log(logits.shape[1]) + (log_q.exp() * log_q).sum(1)  # (B, h, w)
    return each.flatten(1).sum(1)


def dvae_loss(
    logits: Tensor, x: Tensor, codes: Tensor, beta: float = 1.0
) -> dict[str, Tensor]:
    """ "loss" = "nll" + beta * "kl", means over the batch.

    logits, x (B, C, H, W), x in [-1, 1]; codes (B, K, h, w) are the encoder's logits
    (Ramesh et al. 2021, arXiv:2102.12092, section 2.1).
    """
    nll, kl = bernoulli_nll(logits, x).mean(), uniform_kl(codes).mean()
    return {"loss": nll + beta * kl, "nll": nll, "kl": kl}


def _same_shape(z: Tensor, e: Tensor) -> None:
    if z.shape != e.shape or not torch.is_floating_point(e):
        raise ValueError(
            f"z has shape {tuple(z.shape)}, e has {tuple(e.shape)} and type {e.dtype}: "
            "expected the same shape, floats"
        )
