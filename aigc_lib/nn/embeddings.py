"""What tells attention where a token stands: sinusoidal, rotary, ALiBi.

Learned positions need no code of ours: nn.Embedding(T, C) at torch.arange(T).
"""

import torch
from torch import Tensor


def sinusoidal(T: int, C: int, base: float = 10_000.0) -> Tensor:
    """(T, C): a fixed vector for each place (Vaswani et al. 2017, section 3.5).

    Row t holds sin(t f), cos(t f) for C/2 frequencies f = base^(-2i/C), from 1 down.
    Raises ValueError for an odd C or no place.
    """
    if T < 1 or C < 2 or C % 2:
        raise ValueError(f"T={T}, C={C}: expected T >= 1 and an even C")
    angles = torch.arange(T)[:, None] * _frequencies(C, base)  # (T, C/2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)  # (T, C)


def rotate(x: Tensor, positions: Tensor, base: float = 10_000.0) -> Tensor:
    """Turn each pair of entries of x by an angle that grows with its position.

    x (B, nh, T, hs), positions (T,), whole or not -> (B, nh, T, hs). The product of a
    query turned at m and a key turned at n depends on m - n alone (Su et al. 2021,
    RoFormer, arXiv:2104.09864, eq. 34). Pairs are neighbours (2i, 2i+1), as in the
    paper; LLaMA's checkpoints pair i with i + hs/2. Raises ValueError for an odd hs and
    for positions of another shape.
    """
    if x.ndim != 4 or x.shape[-1] % 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: expected (B, nh, T, hs) with an even hs"
        )
    if positions.shape != x.shape[2:3]:
        raise ValueError(
            f"positions have shape {tuple(positions.shape)}: "
            f"expected ({x.shape[2]},), one for each place"
        )
    frequencies = _frequencies(x.shape[-1], base).to(x.device)
    angles = positions[:, None] * frequencies  # (T, hs/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]  # (B, nh, T, hs/2)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return turned.flatten(-2)  # (B, nh, T, hs)


def alibi_bias(nh: int, T: int) -> Tensor:
    """(nh, T, T): minus a slope times the distance, for the scores.

    Head h = 1 … nh has the slope 2^(-8h/nh) (Press et al. 2021, ALiBi,
    arXiv:2108.12409). The paper's model is causal; here distance is |query - key|,
    which is the same below the diagonal and also serves an encoder.
    """
    if nh < 1 or T < 1:
        raise ValueError(f"nh={nh}, T={T}: expected at least one head and one place")
    slopes = 2.0 ** (-8.0 * torch.arange(1, nh + 1) / nh)  # (nh,)
    places = torch.arange(T)
    distance = (places[:, None] - places).abs()  # (T, T)
    return -slopes[:, None, None] * distance


def _frequencies(C: int, base: float) -> Tensor:
    """(C/2,) angles per place, from 1 down to nearly 1 / base."""
    return base ** (-torch.arange(0, C, 2) / C)
