"""Move sliders over a live model.

The static page gets the precomputed frames of the same figure.
"""

from collections.abc import Callable, Sequence
from itertools import product

import ipywidgets as widgets
import torch
from torch import Tensor

from aigc_lib.show.figures import alt_text
from aigc_lib.show.images import png, tile
from aigc_lib.show.player import player

MAX_FRAMES = 400


class Explorer:
    """One display: a widget where a kernel runs, a player where none does."""

    def __init__(self, live: widgets.Widget, page: str, alt: str):
        self.live, self.page, self.alt = live, page, alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.live.model_id}
        return {  # written out, since ipywidgets 7, which Colab has, offers no bundle
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self.page,
            "text/plain": self.alt,
        }


def explore(
    fn: Callable[..., Tensor],
    *,
    alt: str,
    scale: int = 6,
    **sliders: Sequence[float] | Sequence[str],
) -> Explorer:
    """Show the image `fn(name=value, …)` under one or two sliders.

    The image is (C, H, W) in [-1, 1]. Each keyword gives a slider and its values, for
    example `u=[0.0, 0.5, 1.0]` or `colour=["red", "blue"]`. In Jupyter and Colab fn is
    called again at each move; numbers move continuously from the first to the last
    value, and of words one is chosen from a list. The static page steps through the
    values given. Raises ValueError for more than 400 frames or another number of
    sliders.
    """
    alt_text(alt)
    count = 1
    for values in sliders.values():
        count *= len(values)
    if len(sliders) not in (1, 2) or not 1 <= count <= MAX_FRAMES:
        raise ValueError(
            f"{len(sliders)} sliders with {count} frames: "
            f"expected one or two sliders, at most {MAX_FRAMES} frames"
        )
    axes = [
        [v if isinstance(v, str) else float(v) for v in values]
        for values in sliders.values()
    ]
    frames = [fn(**dict(zip(sliders, place, strict=True))) for place in product(*axes)]
    frames = torch.stack(frames)
    frames = frames.reshape(*map(len, axes), *frames.shape[1:])
    labels = {
        name: [v if isinstance(v, str) else f"{v:.2g}" for v in values]
        for name, values in zip(sliders, axes, strict=True)
    }
    live = _live(fn, sliders, scale)
    return Explorer(live, player(frames, labels, alt=alt, scale=scale).data, alt)


def _live(fn, sliders, scale) -> widgets.Widget:
    """A box of sliders, or lists of words, under an image that `fn` redraws."""
    controls = {}
    for name, values in sliders.items():
        if isinstance(values[0], str):
            controls[name] = widgets.Dropdown(options=list(values), description=name)
            continue
        low, high = min(values), max(values)
        controls[name] = widgets.FloatSlider(
            min=low,
            max=high,
            value=(low + high) / 2,
            step=(high - low) / 100 or 1,
            description=name,
        )
    picture = widgets.Image(format="png")
    picture.layout.object_fit, picture.layout.align_self = "contain", "flex-start"

    def redraw(_=None):
        image = fn(**{name: control.value for name, control in controls.items()})
        large = image.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
        picture.value = png(tile(large[None], 1))

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    return widgets.VBox([picture, *controls.values()])
