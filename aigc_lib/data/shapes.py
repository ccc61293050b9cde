"""Coloured shapes with captions, drawn by formula: "a red circle in the top left".

Each image shows one shape in one colour at one of nine positions. Some combinations are
never in the training part, so that one can ask whether a model combines what it knows.
"""

import re
from functools import cache

import torch
from torch import Tensor

SIZE = 32  # pixels
COLOURS = {
    "red": (0.90, 0.10, 0.10),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.92, 0.15),
    "green": (0.10, 0.70, 0.20),
    "cyan": (0.10, 0.85, 0.90),
    "blue": (0.15, 0.25, 0.95),
    "purple": (0.65, 0.15, 0.85),
    "white": (1.00, 1.00, 1.00),
}
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring")
POSITIONS = {  # (row, column) of a 3x3 grid
    "top left": (0, 0),
    "top": (0, 1),
    "top right": (0, 2),
    "left": (1, 0),
    "centre": (1, 1),
    "right": (1, 2),
    "bottom left": (2, 0),
    "bottom": (2, 1),
    "bottom right": (2, 2),
}
NAMES = (tuple(COLOURS), SHAPES, tuple(POSITIONS))
KINDS = ("colour", "shape", "position")
RADII = (4.5, 5.5, 6.5)  # pixels: small, medium, large
SHIFTS = (-1, 0, 1)  # pixels, along each axis
HELD_OUT = 5  # one combination in five
FAR = 0.3  # squared error, as a share of what the drawing differs from black


def combinations() -> tuple[Tensor, Tensor]:
    """The combinations to train on (K, 3) and the held-out ones (L, 3), int64.

    A row holds the numbers of colour, shape and position. Every colour with every
    shape, and each of them at every position, occurs among those to train on: only the
    three together are new. The same at every call.
    """
    sizes = torch.tensor([len(names) for names in NAMES])
    every = torch.cartesian_prod(*(torch.arange(n) for n in sizes.tolist()))
    held_out = every @ torch.tensor([1, 2, 3]) % HELD_OUT == 0
    return every[~held_out], every[held_out]


def shapes(
    n: int, split: str = "train", generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """n random pictures (n, 3, 32, 32) in [-1, 1] and their labels (n, 3) int64.

    split: "train" or "held out", whose combinations differ. Size and exact place vary
    a little; no label says how. Raises ValueError for another split or n below 1.
    """
    parts = dict(zip(("train", "held out"), combinations(), strict=True))
    if split not in parts:
        raise ValueError(f"split={split!r}: expected 'train' or 'held out'")
    if n < 1:
        raise ValueError(f"n={n}: expected at least 1")

    def pick(count: int, *shape: int) -> Tensor:
        return torch.randint(count, (n, *shape), generator=generator)

    labels = parts[split][pick(len(parts[split]))]
    radius = torch.tensor(RADII)[pick(len(RADII))]
    shift = torch.tensor(SHIFTS)[pick(len(SHIFTS), 2)]
    return draw_shapes(labels, radius, shift), labels


def draw_shapes(labels: Tensor, radius: Tensor | float = 5.5, shift=0) -> Tensor:
    """The pictures (B, 3, 32, 32) of labels (B, 3), on black, with smooth edges.

    radius: (B,) or one, in pixels; shift: (B, 2), rows and columns, or one. An edge
    pixel is covered in part, as if a square of 1x1 pixels were laid over the shape.
    """
    _expect_labels(labels)
    colour, shape, position = labels.T
    palette = torch.tensor(list(COLOURS.values()))
    cells = torch.tensor(list(POSITIONS.values()))
    middle = SIZE / 4 * (cells[position] + 1) + torch.as_tensor(shift)  # (B, 2)
    radius = torch.as_tensor(radius, dtype=torch.float32).expand(len(labels))
    ticks = torch.arange(SIZE) + 0.5
    y = (ticks - middle[:, :1])[:, :, None].expand(-1, -1, SIZE)  # (B, H, W)
    x = (ticks - middle[:, 1:])[:, None, :].expand(-1, SIZE, -1)
    covered = torch.zeros(len(labels), SIZE, SIZE)
    for i, name in enumerate(SHAPES):
        rows = shape == i
        r = radius[rows, None, None]
        covered[rows] = (0.5 - _distance(name, x[rows], y[rows], r)).clamp(0, 1)
    return 2 * covered[:, None] * palette[colour][:, :, None, None] - 1


def _distance(name: str, x: Tensor, y: Tensor, r: Tensor) -> Tensor:
    """About the distance to a shape's edge in pixels, negative inside: (B, H, W)."""
    if name == "circle":
        return (x * x + y * y).sqrt() - r
    if name == "ring":
        return ((x * x + y * y).sqrt() - 0.75 * r).abs() - 0.25 * r
    if name == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.85 * r
    if name == "diamond":
        return (x.abs() + y.abs() - 1.15 * r) / 2**0.5
    if name == "cross":
        long, wide = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
        return torch.maximum(long - r, wide - 0.3 * r)
    assert name == "triangle"  # its tip is at the top
    return torch.maximum((2 * x.abs() - y - r) / 5**0.5, y - 0.8 * r)


def captions(labels: Tensor, generator: torch.Generator | None = None) -> list[str]:
    """A sentence for each row of labels (B, 3), in one of four wordings.

    Without a generator all have the first one: "a red circle in the top left".
    """
    _expect_labels(labels)
    wording = torch.zeros(len(labels), dtype=torch.int64)
    if generator is not None:
        wording = torch.randint(4, (len(labels),), generator=generator)
    found = []
    for (c, s, p), which in zip(labels.tolist(), wording.tolist(), strict=True):
        colour, shape, position = NAMES[0][c], NAMES[1][s], NAMES[2][p]
        place = f"in the {position}" if position == "centre" else f"at the {position}"
        found.append(
            (
                f"a {colour} {shape} {place}",
                f"{place}, a {colour} {shape}",
                f"a {shape} {place}, {colour}",
                f"{colour} {shape}, {position}",
            )[which]
        )
    return found


def words() -> list[str]:
    """All words of all captions, in alphabetical order."""
    names = " ".join(name for names in NAMES for name in names)
    return sorted({*names.split(), "a", "in", "at", "the"})


def parse(caption: str) -> Tensor:
    """The labels (3,) of a caption in any wording.

    Raises ValueError for an unknown word, naming it and those to choose from, and for a
    caption without exactly one colour, shape and position.
    """
    said = re.findall(r"\w+", caption.lower())
    for word in said:
        if word not in words():
            raise ValueError(f"word {word!r}: expected one of {', '.join(words())}")
    labels = []
    for kind, names in zip(KINDS, NAMES, strict=True):
        pairs = [" ".join(pair) for pair in zip(said, said[1:], strict=False)]
        found = [name for name in names if name in pairs]
        found = found or [name for name in names if name in said]
        if len(found) != 1:
            raise ValueError(
                f"caption {caption!r}: expected one {kind} of {', '.join(names)}, "
                f"not {len(found)}"
            )
        labels.append(names.index(found[0]))
    return torch.tensor(labels)


@cache
def _drawings() -> tuple[Tensor, Tensor]:
    """Every picture there is, flat (N, 3072), and its labels (N, 3)."""
    every = torch.cat(combinations())
    nuisances = torch.cartesian_prod(
        torch.tensor(RADII), torch.tensor(SHIFTS).float(), torch.tensor(SHIFTS).float()
    )
    found = [
        draw_shapes(every, float(r), torch.tensor([dy, dx])) for r, dy, dx in nuisances
    ]
    return torch.cat(found).flatten(1), every.repeat(len(nuisances), 1)


def read_shapes(images: Tensor) -> Tensor:
    """What pictures (B, 3, 32, 32) in [-1, 1] show: labels (B, 3), or -1 where unclear.

    The label is that of the nearest of all pictures that can be drawn, in mean squared
    error, so every drawn picture is read without a mistake. Where even the nearest is
    far, as from black, from noise or from two shapes, all three labels are -1.
    """
    if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE):
        raise ValueError(
            f"images {tuple(images.shape)}: expected (B, 3, {SIZE}, {SIZE})"
        )
    drawings, labels = _drawings()
    flat = images.flatten(1).float().cpu()
    squares = drawings.square().sum(1) - 2 * flat @ drawings.T  # (B, N), but |x|^2
    nearest = squares.argmin(1)
    drawing = drawings[nearest]
    error = (drawing - flat).square().sum(1) / (drawing + 1).square().sum(1)
    return torch.where((error < FAR)[:, None], labels[nearest], -1)


def _expect_labels(labels: Tensor) -> None:
    """Raise ValueError unless labels are (B, 3) int64 and number known names."""
    if labels.ndim != 2 or labels.shape[1] != 3 or labels.dtype != torch.int64:
        raise ValueError(
            f"labels {tuple(labels.shape)} of {labels.dtype}: expected (B, 3) int64"
        )
    for kind, names, column in zip(KINDS, NAMES, labels.T, strict=True):
        bad = column[(column < 0) | (column >= len(names))]
        if len(bad):
            raise ValueError(f"{kind} {bad[0]}: expected 0 to {len(names) - 1}")
