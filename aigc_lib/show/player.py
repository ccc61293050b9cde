"""A player for precomputed frames: one or two sliders in one piece of HTML.

It needs no kernel and no library.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from IPython.display import HTML
from torch import Tensor

from aigc_lib.show.figures import alt_text
from aigc_lib.show.images import data_url, tile

SCRIPT = Path(__file__).with_name("player.js").read_text(encoding="utf-8")


def player(
    frames: Tensor,
    sliders: Mapping[str, Sequence[object]],
    *,
    alt: str,
    scale: int = 6,
    interval_ms: int = 250,
) -> HTML:
    """Show precomputed frames under one or two sliders.

    There is a play button, and the arrow keys work. frames: (n1, C, H, W) or
    (n1, n2, C, H, W) in [-1, 1]; sliders: a name and the n labels of each axis, in
    order. Everything is in the returned HTML, so it works on a static page. Raises
    ValueError when the labels do not fit the frames.
    """
    sizes = tuple(len(labels) for labels in sliders.values())
    if len(sizes) not in (1, 2) or tuple(frames.shape[:-3]) != sizes:
        raise ValueError(
            f"frames have shape {tuple(frames.shape)} and the sliders {sizes} labels: "
            "expected one or two sliders with as many labels as frames along their axis"
        )
    label = alt_text(alt)
    flat = frames.reshape(-1, *frames.shape[-3:])
    n, (_, h, w) = len(flat), flat.shape[1:]
    cols = sizes[1] if len(sizes) == 2 else math.ceil(math.sqrt(n))
    rows = -(-n // cols)
    sprite = data_url(tile(flat, cols, pad=0))
    name = "player-" + hashlib.sha256((label + sprite).encode()).hexdigest()[:8]
    inputs = "".join(_slider(text, values) for text, values in sliders.items())
    call = f"({SCRIPT})('{name}', {cols}, {rows}, {interval_ms});"
    frame = f"margin:0 0 1rem;width:{max(w * scale, 280)}px;max-width:100%"
    screen = (
        f"width:{w * scale}px;max-width:100%;aspect-ratio:{w}/{h};"
        "image-rendering:pixelated;"
        f"background:url({sprite}) 0 0/{cols * 100}% {rows * 100}%"
    )
    return HTML(
        f'<figure class="aigc-player {name}" style="{frame}">'
        f'<div role="img" aria-label="{label}" tabindex="0" style="{screen}"></div>'
        f'{inputs}<button type="button">&#9654; Play</button></figure>'
        f"<script>{call}</script>"
    )


def _slider(name: str, labels: Sequence[object]) -> str:
    """One labelled range input, its value shown beside it."""
    joined = "|".join(str(label).replace("|", "/") for label in labels)
    return (
        '<label style="display:flex;gap:.6rem;align-items:center">'
        f'<span style="min-width:1.5rem">{escape(name)}</span>'
        f'<input type="range" min="0" max="{len(labels) - 1}" value="0" '
        f'data-labels="{escape(joined, quote=True)}" style="flex:1;min-width:0">'
        '<output style="min-width:3rem"></output></label>'
    )
