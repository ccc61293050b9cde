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
    shape = tuple(frames.shape)
    sizes = _sizes(shape[:-3], sliders, f"frames have shape {shape}")
    label = alt_text(alt)
    flat = frames.reshape(-1, *frames.shape[-3:])
    n, (_, h, w) = len(flat), flat.shape[1:]
    cols = sizes[1] if len(sizes) == 2 else math.ceil(math.sqrt(n))
    rows = -(-n // cols)
    sprite = data_url(tile(flat, cols, pad=0))
    style = (
        f"width:{w * scale}px;max-width:100%;aspect-ratio:{w}/{h};"
        "image-rendering:pixelated;"
        f"background:url({sprite}) 0 0/{cols * 100}% {rows * 100}%"
    )
    screen = f'<div role="img" aria-label="{label}" tabindex="0" style="{style}"></div>'
    width = f"{max(w * scale, 280)}px"
    return _figure(screen, width, sliders, (cols, rows, interval_ms))


def text_player(
    frames: Sequence[HTML],
    sliders: Mapping[str, Sequence[object]],
    *,
    alt: str,
    interval_ms: int = 700,
) -> HTML:
    """Show precomputed pieces of HTML, such as `show.tokens` gives, under sliders.

    frames: one for each label, or, with two sliders, for each pair of labels, the last
    slider moving first. Otherwise as `player`. Raises ValueError when they do not fit.
    """
    sizes = tuple(len(labels) for labels in sliders.values())
    fit = len(frames) == math.prod(sizes)
    _sizes(sizes if fit else (), sliders, f"there are {len(frames)} frames")
    # All frames lie in one place, so that the page does not move with their heights.
    pages = "".join(
        f'<div style="grid-area:1/1;visibility:{"hidden" if i else "visible"}">'
        f"{frame.data}</div>"
        for i, frame in enumerate(frames)
    )
    screen = (
        f'<div role="img" aria-label="{alt_text(alt)}" tabindex="0" '
        f'style="display:grid">{pages}</div>'
    )
    return _figure(screen, "100%", sliders, (len(frames), 1, interval_ms))


def _sizes(axes: tuple[int, ...], sliders: Mapping, what: str) -> tuple[int, ...]:
    sizes = tuple(len(labels) for labels in sliders.values())
    if len(sizes) not in (1, 2) or axes != sizes:
        raise ValueError(
            f"{what} and the sliders {sizes} labels: "
            "expected one or two sliders with as many labels as frames along their axis"
        )
    return sizes


def _figure(screen: str, width: str, sliders: Mapping, numbers: tuple) -> HTML:
    """The screen, its sliders and a button, and the script that moves them."""
    name = "player-" + hashlib.sha256(screen.encode()).hexdigest()[:8]
    inputs = "".join(_slider(text, values) for text, values in sliders.items())
    call = f"({SCRIPT})('{name}', {', '.join(map(str, numbers))});"
    frame = f"margin:0 0 1rem;width:{width};max-width:100%"
    return HTML(
        f'<figure class="aigc-player {name}" style="{frame}">{screen}'
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
