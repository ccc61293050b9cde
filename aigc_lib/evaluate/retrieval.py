"""Is the right one among those that are most alike?"""

import torch
from torch import Tensor


def recall(similarities: Tensor, right: Tensor, k: int = 1) -> float:
    """The share of rows whose right column is among the k most similar: recall@k.

    similarities (N, M); right (N,) int64, the column that belongs to each row. Columns
    as similar as the right one count as more similar. Raises ValueError for shapes that
    do not fit and k outside 1 to M.
    """
    _check(similarities, right)
    if not 1 <= k <= similarities.shape[1]:
        raise ValueError(f"k={k}: expected 1 to {similarities.shape[1]} columns")
    return (_rivals(similarities, right) < k).double().mean().item()


def choice(similarities: Tensor, right: Tensor, ways: int = 16) -> float:
    """How often the right column wins against `ways` - 1 wrong ones drawn at random.

    The exact mean over all draws without repetition: with r more similar ones among m
    wrong ones it is C(m - r, ways - 1) / C(m, ways - 1). Raises ValueError for shapes
    that do not fit and for more ways than columns.
    """
    _check(similarities, right)
    m, drawn = similarities.shape[1] - 1, ways - 1
    if not 1 <= drawn <= m:
        raise ValueError(f"ways={ways}: expected 2 to {m + 1}, the number of columns")
    weaker = m - _rivals(similarities, right).double()  # wrong ones that do not win
    share = torch.ones_like(weaker)
    for i in range(drawn):
        share = share * ((weaker - i) / (m - i)).clamp(min=0)
    return share.mean().item()


def _rivals(similarities: Tensor, right: Tensor) -> Tensor:
    """For each row, the wrong columns that are at least as similar: (N,) int64."""
    own = similarities.gather(1, right[:, None])
    return (similarities >= own).sum(1) - 1


def _check(similarities: Tensor, right: Tensor) -> None:
    n, m = similarities.shape if similarities.ndim == 2 else (-1, -1)
    if right.shape != (n,) or right.dtype != torch.int64:
        raise ValueError(
            f"similarities {tuple(similarities.shape)}, right {tuple(right.shape)} of "
            f"{right.dtype}: expected (N, M) and (N,) int64"
        )
    if n and (right.min() < 0 or right.max() >= m):
        raise ValueError(f"right: expected columns from 0 to {m - 1}")
