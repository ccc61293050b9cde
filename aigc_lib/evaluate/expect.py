"""What the meter refuses to measure: each mistake here once gave a plausible number."""

import torch
from torch import Tensor


def expect_images(fake: Tensor, real: Tensor) -> None:
    """Raise ValueError unless both are float images (N, C, H, W) in [-1, 1], N equal.

    Images that have a range but never go below 0, while the real ones do, are taken for
    images in [0, 1]. Those of one grey, or almost, may be measured.
    """
    low, high = _range("fake", fake)
    real_low, _ = _range("real", real)
    if len(fake) != len(real):
        raise ValueError(
            f"{len(fake)} samples against {len(real)} real images: "
            f"the distance needs equal numbers"
        )
    if fake.shape != real.shape:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}: "
            f"expected {tuple(real.shape)}, as the real images have"
        )
    if low >= 0 > real_low and high - low > 0.5:
        raise ValueError(
            f"fake has values from {low:.3g} to {high:.3g}, real from {real_low:.3g}: "
            f"these look like images in [0, 1]; expected [-1, 1], which is 2 * x - 1"
        )


def _range(name: str, images: Tensor) -> tuple[float, float]:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        found = getattr(images, "dtype", type(images).__name__)
        raise ValueError(f"{name} is {found}: expected float images in [-1, 1]")
    if images.ndim != 4 or not images.numel():
        shape = tuple(images.shape)
        raise ValueError(f"{name} has shape {shape}: expected (N, C, H, W)")
    low, high = float(images.min()), float(images.max())
    if not (-1.001 <= low and high <= 1.001):  # false for nan, too
        raise ValueError(
            f"{name} has values from {low:.4g} to {high:.4g}: "
            f"expected finite ones in [-1, 1]"
        )
    return low, high


def expect_pair(pair: object, n: int) -> tuple[Tensor, Tensor]:
    """Return `pair` if it is features (n, F) and class probabilities (n, K).

    Raises ValueError for anything else: exchanged parts are no probabilities.
    """
    parts = pair if isinstance(pair, tuple | list) else [pair]
    found = [
        tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
        for part in parts
    ]
    tables = [len(shape) == 2 and shape[0] == n for shape in found]
    if tables != [True, True]:
        raise ValueError(
            f"features(images) returned {', '.join(map(str, found))}: expected two, "
            f"features ({n}, F) and class probabilities ({n}, K)"
        )
    expect_probabilities(parts[1], "the second part of features(images)")
    return parts[0], parts[1]


def expect_probabilities(rows: Tensor, name: str = "probabilities") -> None:
    """Raise ValueError unless rows (N, K) are floats, none negative, each of sum 1."""
    if rows.ndim != 2 or not rows.numel() or not rows.is_floating_point():
        raise ValueError(
            f"{name}: shape {tuple(rows.shape)}, {rows.dtype}; "
            f"expected class probabilities (N, K), floats"
        )
    low, sums = float(rows.min()), rows.double().sum(1)
    # Rounding to bfloat16 moves the sum of a row by less than 0.01.
    if not (low >= 0 and torch.all((sums - 1).abs() <= 0.01)):  # false for nan, too
        raise ValueError(
            f"{name}: values from {low:.4g}, rows of sum {float(sums.min()):.4g} to "
            f"{float(sums.max()):.4g}; expected class probabilities, none negative, "
            f"each row of sum 1"
        )
