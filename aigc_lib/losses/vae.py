"""The losses of latent-variable models."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) in nats: (B, D), (B, D) -> (B,).

    There is one value per row (Kingma & Welling 2014, arXiv:1312.6114, appendix B).
    """
    _same_shape("mu", mu, "logvar", logvar)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1)


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x | logits) in nats under independent Bernoulli pixels: (B, ...) -> (B,).

    There is one value per image. x lies in [-1, 1], as all images of the course do, and
    is mapped to a pixel probability in [0, 1]. Grey levels strictly between make this a
    pseudo-likelihood: it is not zero even for perfect logits.
    """
    _same_shape("logits", logits, "x", x)
    if x.min() < -1 or x.max() > 1:
        raise ValueError(
            f"x: expected values in [-1, 1], found {x.min():.3g} to {x.max():.3g}"
        )
    nll = F.binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none")
    return nll.flatten(1).sum(1)


def vae_loss(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float = 1.0
) -> dict[str, Tensor]:
    """The negative ELBO in nats per image and its two parts, means over the batch.

    logits, x: (B, C, H, W), x in [-1, 1]; mu, logvar: (B, D). Returns scalars
    "loss" = "nll" + beta * "kl"; with beta = 1 the loss is an upper bound on -log p(x)
    (arXiv:1312.6114, eq. 3; beta: Higgins et al. 2017). Raises ValueError for shapes
    that do not fit.
    """
    if len(mu) != len(x):
        raise ValueError(f"mu has {len(mu)} rows: expected {len(x)}, one per image")
    nll = bernoulli_nll(logits, x).mean()
    kl = gaussian_kl(mu, logvar).mean()
    return {"loss": nll + beta * kl, "nll": nll, "kl": kl}


def kl_autoencoder_loss(
    output: Tensor, x: Tensor, mu: Tensor, logvar: Tensor, beta: float
) -> dict[str, Tensor]:
    """The absolute error of a copy and a weak KL, means over the batch.

    output, x (B, C, H, W); mu, logvar (B, D, h, w). Returns "loss" = "copy" + beta *
    "kl", both sums over an image (Rombach et al. 2022, arXiv:2112.10752, appendix G,
    without its perceptual and adversarial parts).
    """
    _same_shape("output", output, "x", x)
    copy = (output - x).abs().flatten(1).sum(1).mean()
    kl = gaussian_kl(mu, logvar).mean()
    return {"loss": copy + beta * kl, "copy": copy, "kl": kl}


def _same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"{name_a} has shape {tuple(a.shape)}, {name_b} has {tuple(b.shape)}: "
            f"expected the same"
        )
    if not torch.is_floating_point(b):
        raise ValueError(
            f"{name_b} has dtype {b.dtype}: expected a floating-point tensor"
        )
