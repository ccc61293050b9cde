"""Grids of images as PNG inside HTML.

Crisp pixels, an alternative text, no plotting library.
"""

import base64
import io
from html import escape

import numpy as np
from einops import rearrange
from IPython.display import HTML
from PIL import Image
from torch import Tensor

from aigc_lib.show.figures import alt_text


def grid(
    images: Tensor, *, alt: str, ncols: int = 8, scale: int = 2, title: str = ""
) -> HTML:
    """Show images (B, C, H, W) in [-1, 1] in rows of `ncols`.

    Each pixel is `scale` CSS pixels wide. Values outside [-1, 1] are clipped. Raises
    ValueError for another shape, values that are not finite, or an empty `alt`.
    """
    pixels = tile(images, ncols)
    label = alt_text(alt)
    caption = f"<figcaption>{escape(title)}</figcaption>" if title else ""
    return HTML(
        '<figure style="margin:0 1rem 1rem 0;display:inline-block;max-width:100%">'
        f'{caption}<img class="dark-light" alt="{label}" src="{data_url(pixels)}" '
        f'style="width:{pixels.shape[1] * scale}px;max-width:100%;'
        'image-rendering:pixelated"></figure>'
    )


def row(*parts: HTML) -> HTML:
    """Put several displayed parts side by side, wrapping on narrow screens."""
    inner = "".join(part.data for part in parts)
    return HTML(
        f'<div style="display:flex;flex-wrap:wrap;align-items:flex-end">{inner}</div>'
    )


def tile(images: Tensor, ncols: int, pad: int = 1) -> np.ndarray:
    """Lay images (B, C, H, W) in [-1, 1] out in rows, `pad` grey pixels between.

    Returns (H', W') or (H', W', 3) uint8.
    """
    pixels = to_uint8(images)  # (B, H, W, C)
    if ncols < 1:
        raise ValueError(f"ncols={ncols}: expected at least 1")
    b, h, w, c = pixels.shape
    ncols = min(ncols, b)
    nrows = -(-b // ncols)
    canvas = np.full((nrows * ncols, h + pad, w + pad, c), 128, dtype=np.uint8)
    canvas[:b, :h, :w] = pixels
    sheet = rearrange(canvas, "(r k) h w c -> (r h) (k w) c", k=ncols)
    sheet = sheet[: -pad or None, : -pad or None]
    return sheet[..., 0] if c == 1 else sheet


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (B, C, H, W) float in [-1, 1], C = 1 or 3, as (B, H, W, C) uint8."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"images have shape {tuple(images.shape)}: "
            f"expected (B, 1, H, W) or (B, 3, H, W) with B > 0"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images have dtype {images.dtype}: expected floats in [-1, 1]"
        )
    x = images.detach().float().cpu()
    broken = int((~x.isfinite()).flatten(1).any(1).sum())
    if broken:
        raise ValueError(
            f"{broken} of {len(x)} images contain nan or inf: "
            f"expected finite floats in [-1, 1]"
        )
    x = x.clamp(-1, 1)
    return ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def png(pixels: np.ndarray) -> bytes:
    """Encode (H, W) or (H, W, 3) uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_url(pixels: np.ndarray) -> str:
    """The PNG of `pixels` as a data: URL."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
