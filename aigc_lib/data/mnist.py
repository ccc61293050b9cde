"""MNIST: 70,000 handwritten digits (LeCun, Cortes & Burges 1998; CC BY-SA 3.0)."""

import torch
from torch import Tensor

from aigc_lib.data.files import load_arrays

SPLITS = {"train": 60_000, "test": 10_000}


def mnist(split: str = "train") -> tuple[Tensor, Tensor]:
    """The digits of one split: images (N, 1, 28, 28) and labels (N,).

    Images are float32 in [-1, 1], labels int64 in 0..9. N is 60,000 for "train" and
    10,000 for "test". Raises ValueError for another split and DataFileError for a
    damaged file.
    """
    if split not in SPLITS:
        raise ValueError(
            f"split {split!r}: expected one of {', '.join(map(repr, SPLITS))}"
        )
    arrays = load_arrays("mnist")
    images = torch.from_numpy(arrays[f"{split}_x"]).unsqueeze(1)  # (N, 1, 28, 28) uint8
    labels = torch.from_numpy(arrays[f"{split}_y"])
    return images.float().div_(127.5).sub_(1), labels.long()
