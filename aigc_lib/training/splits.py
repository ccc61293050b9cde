"""What a recipe trains on, and what it is measured on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from aigc_lib import data


@dataclass(frozen=True)
class Splits:
    """Tensors to train on, held-out ones, and the SHA-256 of the file they are from.

    In either tuple the tensors have equal length: `data.batches` draws their rows
    together. characters: of a text, those it is made of; its tensors hold their places.
    """

    training: tuple[Tensor, ...]
    held_out: tuple[Tensor, ...]
    sha256: str
    characters: str = ""


def digit_images(own: str | Path | None, *, at_least: int) -> Splits:
    """MNIST's images (N, 1, 28, 28) in [-1, 1], or pictures of the reader's own.

    A tenth of the reader's own is held out. Raises ValueError for a file that has
    something else or fewer than `at_least`.
    """
    if own is None:
        training, held_out = (data.mnist(split)[:1] for split in ("train", "test"))
        return Splits(training, held_out, data.checksum("mnist"))
    images, sha256 = data.own_images(own, shape=(1, 28, 28), at_least=at_least)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    cut = len(images) * 9 // 10
    return Splits((images[order[:cut]],), (images[order[cut:]],), sha256)


def labelled_digits(own: str | Path | None = None) -> Splits:
    """MNIST's images (N, 1, 28, 28) in [-1, 1] and labels (N,) in 0..9.

    Raises ValueError for pictures of the reader's own: they have no labels.
    """
    if own is not None:
        raise ValueError(
            f"pictures {own}: this recipe needs labels, pictures alone are not enough"
        )
    return Splits(data.mnist("train"), data.mnist("test"), data.checksum("mnist"))
