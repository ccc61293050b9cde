"""Emoji of Twemoji at 32x32 pixels, with names (CC BY 4.0; see book/data.md)."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from aigc_lib.data.files import load_arrays

SPLITS = ("train", "held out")
HELD_OUT = 10  # one group in ten


@dataclass(frozen=True)
class Emoji:
    """Pictures (N, 3, 32, 32) in [-1, 1] on white, and a name and category of each.

    A group is what variants share, such as a runner, a running man and a running woman.
    """

    images: Tensor
    names: list[str]
    categories: list[str]
    groups: list[str]


def emoji(split: str = "train") -> Emoji:
    """The emoji of one split; all variants of an emoji are in the same one.

    One group in ten is held out, chosen by a checksum of its code points. Pictures that
    look nearly alike may still stand in both: hearts of two colours, clocks, flags.
    Raises ValueError for another split and DataFileError for a damaged file.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: expected 'train' or 'held out'")
    arrays = load_arrays("emoji")
    groups = arrays["groups"].tolist()
    wanted = [_is_held_out(group) == (split == "held out") for group in groups]
    rows = [i for i, keep in enumerate(wanted) if keep]
    images = torch.from_numpy(arrays["images"][rows])  # (N, 32, 32, 3) uint8
    return Emoji(
        images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(),
        arrays["names"][rows].tolist(),
        arrays["categories"][rows].tolist(),
        [groups[i] for i in rows],
    )


def _is_held_out(group: str) -> bool:
    return hashlib.sha256(group.encode()).digest()[0] % HELD_OUT == 0
