"""Text cut into tokens, each in a box of its own."""

from collections.abc import Mapping, Sequence
from html import escape

from IPython.display import HTML

# Borders and two greys: readable in light and dark, and without colour.
STYLE = (
    "<style>.aigc-tokens b{font-weight:normal;display:inline-block;padding:0 .2em;"
    "margin:1px;border:1px solid #8888;border-radius:3px;background:#8881}"
    ".aigc-tokens b:nth-of-type(even){background:#8885}"
    ".aigc-tokens div{margin:.3rem 0;line-height:1.7;overflow-wrap:anywhere}</style>"
)
VISIBLE = {" ": "\u00b7", "\n": "\u21b5", "\t": "\u21e5"}


def tokens(rows: Mapping[str, Sequence[str | bytes]]) -> HTML:
    """Show each row of tokens under its name, with their number.

    A space shows as a middle dot, the end of a line as an arrow, and bytes that are no
    text as hexadecimal digits.
    """
    lines = []
    for name, pieces in rows.items():
        boxes = "".join(f"<b>{escape(visible(piece))}</b>" for piece in pieces)
        title = f"{escape(name)} ({len(pieces)}): " if name else ""
        lines.append(f"<div>{title}{boxes}</div>")
    return HTML(f'{STYLE}<div class="aigc-tokens">{"".join(lines)}</div>')


def visible(piece: str | bytes) -> str:
    """A token as text in which white space and stray bytes can be seen."""
    if isinstance(piece, bytes):
        try:
            piece = piece.decode()
        except UnicodeDecodeError:
            return piece.hex(" ")
    return "".join(VISIBLE.get(character, character) for character in piece)
