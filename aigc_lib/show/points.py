"""Points in the plane, with their labels."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor


def labelled(points: Tensor, labels: Tensor) -> tuple[Figure, Axes]:
    """A scatter plot of points (N, 2), a colour for each of at most ten labels (N,).

    Each label is also written at the median of its points, so that nothing rests on
    colour alone. Raises ValueError for other shapes.
    """
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
        raise ValueError(
            f"points {tuple(points.shape)} and labels {tuple(labels.shape)}: "
            f"expected (N, 2) and (N,)"
        )
    fig, ax = plt.subplots(figsize=(5.5, 4))
    for label in labels.unique().tolist():
        here = points[labels == label]
        color = plt.cm.tab10(label % 10)
        ax.scatter(*here.T, s=4, alpha=0.6, color=color, rasterized=True)
        middle = here.median(0).values
        ax.text(*middle, label, size=14, weight="bold", ha="center")
    return fig, ax
