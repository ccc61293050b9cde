"""Tables of weights as shades, several side by side."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import HTML
from torch import Tensor

from aigc_lib.show.figures import figure


def heatmaps(
    tables: Mapping[str, Tensor],
    *,
    rows: str,
    columns: str,
    alt: str,
    crossed: Mapping[str, Tensor] | None = None,
    labels: Sequence[object] | None = None,
) -> HTML:
    """Show tables (T, S) of weights from 0, dark, to 1, bright, each under its name.

    rows, columns: what the two directions are; labels: of both, in place of numbers
    from 0; crossed: tables (T, S) of bools by the same names, True where a cell gets a
    cross. Raises ValueError for a table of another shape or with other values.
    """
    fig, axes = plt.subplots(
        1, len(tables), figsize=(2.7 * len(tables) + 0.4, 2.9), sharey=True
    )
    for ax, (name, table) in zip(fig.axes, tables.items(), strict=True):
        if table.ndim != 2 or not bool(((table >= 0) & (table <= 1.001)).all()):
            plt.close(fig)
            raise ValueError(
                f"table {name!r} has shape {tuple(table.shape)}: "
                "expected (T, S), with values from 0 to 1"
            )
        ax.imshow(table.detach().cpu(), cmap="viridis", vmin=0, vmax=1)
        if crossed is not None:
            for t, s in crossed[name].nonzero().tolist():
                ax.text(s, t, "×", color="white", ha="center", va="center")
        if labels is not None:
            ax.set_xticks(range(table.shape[1]), labels)
            ax.set_yticks(range(table.shape[0]), labels)
        ax.set(title=name, xlabel=columns)
        ax.grid(False)
    fig.axes[0].set(ylabel=rows)
    fig.tight_layout()
    return figure(fig, alt=alt)
