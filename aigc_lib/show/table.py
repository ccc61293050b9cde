"""Small tables of measured numbers."""

from collections.abc import Sequence
from html import escape

from IPython.display import HTML


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> HTML:
    """Show rows under a header; floats get two decimals.

    Raises ValueError for a row of another length.
    """
    for cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"row {list(cells)!r} has {len(cells)} cells: "
                f"expected {len(header)}, as the header"
            )
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in header)
    body = "".join("<tr>" + "".join(map(_cell, cells)) + "</tr>" for cells in rows)
    return HTML(
        f'<table class="aigc-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{value:.2f}</td>'
    return f"<td>{escape(str(value))}</td>"
