"""Text in which each token carries the probability that a model gave it."""

import math
from collections.abc import Sequence
from html import escape

from IPython.display import HTML


def probabilities(texts: Sequence[str], p: Sequence[float]) -> HTML:
    """Show tokens in a row, the improbable ones on a darker ground.

    The ground is as dark as the token's surprise, -log2 p, up to 8 bits; the number
    stands under the token, in percent, and so needs no colour to be read. A line end
    becomes one on the page. Raises ValueError unless both have one length and each
    probability lies in (0, 1].
    """
    if len(texts) != len(p) or not len(texts):
        raise ValueError(
            f"{len(texts)} tokens and {len(p)} probabilities: "
            "expected as many of each, at least one"
        )
    parts = []
    for text, chance in zip(texts, p, strict=True):
        if not 0 < chance <= 1:
            raise ValueError(f"probability {chance}: expected more than 0, at most 1")
        shade = min(1.0, -math.log2(chance) / 8)
        shown = escape(text).replace("\n", "↵").replace(" ", "␣")
        number = f"{100 * chance:.0f}" if chance >= 0.01 else "&lt;1"
        parts.append(
            '<span style="display:inline-block;text-align:center;padding:0 .15em;'
            f'margin:.1em 0;background:rgba(217,98,43,{0.75 * shade:.2f})">'
            f'{shown}<br><span style="font-size:.6em">{number}</span></span>'
        )
        if text.endswith("\n"):
            parts.append("<br>")
    return HTML(f'<div style="line-height:1.3">{"".join(parts)}</div>')
