"""Contrastive losses: of N pairs, which belong together?

Vectors are (N, D) and have length 1, so a product of two is a cosine.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    images: Tensor, texts: Tensor, scale: Tensor | float
) -> dict[str, Tensor]:
    """Symmetric InfoNCE in nats per pair: row i of one belongs to row i of the other.

    images, texts: (N, D), length 1; scale: 1 / temperature. Every other row of the
    batch is a negative. Returns scalars "loss", the mean of "image" (which of the N
    texts belongs to an image?) and "text" (which image to a text?). All are log N for
    vectors that say nothing (CLIP, Radford et al. 2021, arXiv:2103.00020, figure 3;
    InfoNCE: van den Oord et al. 2018, arXiv:1807.03748, eq. 4). Raises ValueError for
    shapes that do not fit or fewer than two pairs.
    """
    logits = scale * similarities(images, texts)  # (N, N)
    if len(logits) < 2:
        raise ValueError("1 pair: expected at least 2, since the others are negatives")
    right = torch.arange(len(logits), device=logits.device)
    image, text = F.cross_entropy(logits, right), F.cross_entropy(logits.T, right)
    return {"loss": (image + text) / 2, "image": image, "text": text}


def siglip_loss(
    images: Tensor, texts: Tensor, scale: Tensor | float, bias: Tensor | float
) -> dict[str, Tensor]:
    """Is it a pair, yes or no? Asked of all N x N, in nats per image.

    Each of them is a question of its own with the logit scale * cosine + bias; the sum
    over the texts, the mean over the images (SigLIP, Zhai et al. 2023,
    arXiv:2303.15343, eq. 2, with the sign of the bias as in its algorithm 1). Returns
    scalars "loss", the sum of "pairs" (the N right ones) and "others". Raises
    ValueError for shapes that do not fit.
    """
    logits = scale * similarities(images, texts) + bias  # (N, N)
    pairs = F.softplus(-logits.diagonal()).mean()
    mine = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    others = F.softplus(logits).masked_fill(mine, 0.0).sum(1).mean()
    return {"loss": pairs + others, "pairs": pairs, "others": others}


def similarities(images: Tensor, texts: Tensor) -> Tensor:
    """The cosines (N, N) of all images with all texts, rows for images, in float32.

    Raises ValueError unless both are (N, D).
    """
    if images.ndim != 2 or images.shape != texts.shape:
        raise ValueError(
            f"images {tuple(images.shape)} and texts {tuple(texts.shape)}: "
            "expected (N, D) twice"
        )
    return images.float() @ texts.float().T
