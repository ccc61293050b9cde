"""Bits that coders need for a picture or its code, and how near a copy is to it."""

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def jpeg(image: Tensor, quality: int) -> tuple[int, Tensor]:
    """The bits of the coded pixels of a grey image as JPEG, and the decoded image.

    image (1, H, W) in [-1, 1]; quality from 1, the coarsest, to 95. Header and tables
    of the file are not counted. The decoded image is (1, H, W) in [-1, 1].
    """
    content = _written(image, "JPEG", quality=quality)
    start = 2  # after the start of the image
    while content[start + 1] != 0xDA:  # the segment before the pixels
        start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    pixels = np.array(Image.open(io.BytesIO(content)))
    return 8 * (len(content) - 2 - start), torch.tensor(pixels)[None] / 127.5 - 1


def png_bits(image: Tensor) -> int:
    """The bits of the coded pixels of a grey image (1, H, W) in [-1, 1] as PNG.

    The file's header is not counted.
    """
    chunks = _png_chunks(_written(image, "PNG"))
    return 8 * sum(length for name, length in chunks if name == b"IDAT")


def psnr(a: Tensor, b: Tensor) -> float:
    """The peak signal-to-noise ratio of images in [-1, 1] of equal shape, in dB."""
    if a.shape != b.shape:
        raise ValueError(
            f"images of shapes {tuple(a.shape)} and {tuple(b.shape)}: expected the same"
        )
    return float(10 * torch.log10(4 / (a - b).square().mean()))  # the range is 2


def grid_bits(symbols: Tensor) -> float:
    """The bits of one row of whole numbers (N, D) for an ideal coder.

    It codes each column by itself and knows how often each of its values occurs: the
    sum of the columns' entropies.
    """
    total = 0.0
    for column in symbols.T:
        share = column.unique(return_counts=True)[1] / len(column)
        total -= float((share * share.log2()).sum())
    return total


def _written(image: Tensor, kind: str, **options: int) -> bytes:
    """The file of a grey image (1, H, W) in [-1, 1]."""
    if image.ndim != 3 or image.shape[0] != 1:
        raise ValueError(f"image has shape {tuple(image.shape)}: expected (1, H, W)")
    pixels = ((image[0].clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The name of each chunk of a PNG file, and how many bytes it holds."""
    start = 8  # after the signature
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], "big")
        yield content[start + 4 : start + 8], length
        start += 12 + length  # with its length, its name and its checksum
