"""Line figures as inline SVG that takes the page's own text colour, light or dark."""

import io
import re
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML
from matplotlib.figure import Figure

# One colour per role, readable on white and on near-black; pair them with markers or
# line styles.
COLORS = {"data": "#2f81c7", "sample": "#d9622b", "loss": "#8a63d2", "other": "#1a9a6c"}

# Drawn in this grey, then replaced by the colour of the surrounding text.
INK = "#75797f"

plt.rcParams.update(
    {
        "figure.figsize": (6.4, 3.2),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.25,
        "axes.prop_cycle": plt.cycler(color=list(COLORS.values())),
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "aigc",
        "font.family": "sans-serif",
        **dict.fromkeys(
            [
                "text.color",
                "axes.edgecolor",
                "axes.labelcolor",
                "xtick.color",
                "ytick.color",
                "grid.color",
            ],
            INK,
        ),
    }
)


def figure(fig: Figure, *, alt: str) -> HTML:
    """Turn a matplotlib figure into inline SVG with a text alternative, and close it.

    Raises ValueError for an empty `alt`.
    """
    label = alt_text(alt)
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(fig)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    width = float(re.search(r'<svg[^>]* width="([\d.]+)pt"', svg, re.S)[1]) * 4 / 3
    style = f"width:100%;max-width:{width:.0f}px;height:auto"
    opening = f'<svg role="img" aria-label="{label}" style="{style}" '
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1, flags=re.S)
    return HTML(svg.replace("<svg ", opening, 1))


def alt_text(alt: str) -> str:
    """An alternative text, escaped for an HTML attribute.

    Raises ValueError when it is empty.
    """
    if not alt.strip():
        raise ValueError(
            "alt is empty: expected a sentence that says what the picture shows"
        )
    return escape(alt, quote=True)
