"""Attention: the core, its masks, several heads, and self-attention over images.

Shapes: B batch, T places that ask, S places that answer, nh heads, hs head size.
"""

import math

import torch
from torch import Tensor, nn


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).

    q (B, nh, T, hs), k (B, nh, S, hs), v (B, nh, S, any size). mask: bool, True where a
    query may attend; bias: floats that are added to the scores; both broadcast to
    (B, nh, T, S), so two dimensions mean (T, S). Returns what each query gathers
    (B, nh, T, size of v) and the weights (B, nh, T, S), whose rows sum to 1. A query
    that may attend to nothing gets weights and a result of zeros. Raises ValueError for
    shapes or types that do not fit.
    """
    _check(q, k, v, mask, bias)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, nh, T, S)
    if bias is not None:
        scores = scores + bias
    if mask is None:
        weights = scores.softmax(dim=-1)
    else:
        # Not -inf: a row of nothing but -inf would become nan, and so would gradients.
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~mask, lowest).softmax(dim=-1)
        weights = weights.masked_fill(~mask, 0.0)
    return weights.to(v.dtype) @ v, weights


def causal_mask(T: int, device: torch.device | None = None) -> Tensor:
    """(T, T) bool: place t may attend to the places 0 … t, itself included."""
    if T < 1:
        raise ValueError(f"T={T}: expected at least one place")
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def padding_mask(lengths: Tensor, T: int) -> Tensor:
    """(B, 1, 1, T) bool: True at the first lengths[b] of T places, not at padding.

    lengths (B,) whole numbers from 0 to T. Raises ValueError for others.
    """
    whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
    if lengths.ndim != 1 or not whole:
        raise ValueError(
            f"lengths have shape {tuple(lengths.shape)} and dtype {lengths.dtype}: "
            "expected (B,) whole numbers"
        )
    if bool(((lengths < 0) | (lengths > T)).any()):
        raise ValueError(f"lengths={lengths.tolist()}: expected 0 to T={T}")
    inside = torch.arange(T, device=lengths.device) < lengths[:, None]  # (B, T)
    return inside[:, None, None, :]


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own projection of the input.

    x (B, T, width) asks; memory (B, S, width) answers: x itself if it is None
    (self-attention), another sequence, of memory_width, otherwise (cross-attention).
    With fewer kv_heads than heads, each key-value head serves heads / kv_heads queries
    (grouped queries, Ainslie et al. 2023, arXiv:2305.13245). Raises ValueError unless
    heads divide width and kv_heads divide heads.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int | None = None,
        bias: bool = True,
        memory_width: int | None = None,
    ):
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if heads < 1 or width % heads:
            raise ValueError(
                f"width={width}, heads={heads}: expected heads that divide it"
            )
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(
                f"heads={heads}, kv_heads={kv_heads}: expected a divisor of heads"
            )
        self.heads, self.kv_heads = heads, kv_heads
        kv_width = width // heads * kv_heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(memory_width or width, kv_width, bias=bias)
        self.value = nn.Linear(memory_width or width, kv_width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """What x gathers (B, T, width). mask and bias as for `attention`."""
        return self.attend(x, memory, mask, bias)[0]

    def attend(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What x gathers (B, T, width), and the weights (B, nh, T, S)."""
        q, k, v = self.project(x, memory)
        gathered, weights = attention(q, k, v, mask, bias)
        return self.out(gathered.transpose(1, 2).flatten(2)), weights

    def project(
        self, x: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, nh, T, hs) of x, keys and values (B, nh, S, hs) of the memory."""
        memory = x if memory is None else memory
        for name, value, by in (("x", x, self.query), ("memory", memory, self.key)):
            if value.ndim != 3 or value.shape[-1] != by.in_features:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}: "
                    f"expected (batch, places, {by.in_features})"
                )
        q = _split(self.query(x), self.heads)  # (B, nh, T, hs)
        k = _split(self.key(memory), self.kv_heads)  # (B, kv_heads, S, hs)
        v = _split(self.value(memory), self.kv_heads)  # (B, kv_heads, S, hs)
        group = self.heads // self.kv_heads
        if group > 1:
            k = k.repeat_interleave(group, dim=1)  # (B, nh, S, hs)
            v = v.repeat_interleave(group, dim=1)  # (B, nh, S, hs)
        return q, k, v

    @classmethod
    def from_torch(cls, layer: nn.MultiheadAttention) -> "MultiHeadAttention":
        """Our layer with a copy of the weights of torch's, which computes the same.

        Raises ValueError for a layer with other sizes for keys or values, with
        `add_bias_kv` or with `add_zero_attn`, which ours does not have. Its dropout is
        left out, and its masks have the other sign: there True means *not* allowed.
        """
        if (
            layer.in_proj_weight is None
            or layer.bias_k is not None
            or layer.add_zero_attn
        ):
            raise ValueError(
                "expected an nn.MultiheadAttention with equal widths, without "
                "add_bias_kv and add_zero_attn"
            )
        bias = layer.in_proj_bias is not None
        ours = cls(layer.embed_dim, layer.num_heads, bias=bias)
        ours = ours.to(layer.in_proj_weight)
        parts = (ours.query, ours.key, ours.value)
        with torch.no_grad():
            for part, w in zip(parts, layer.in_proj_weight.chunk(3), strict=True):
                part.weight.copy_(w)
            ours.out.weight.copy_(layer.out_proj.weight)
            if bias:
                for part, b in zip(parts, layer.in_proj_bias.chunk(3), strict=True):
                    part.bias.copy_(b)
                ours.out.bias.copy_(layer.out_proj.bias)
        return ours


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * hs) -> (B, heads, T, hs)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, bias: Tensor | None):
    """Raise ValueError unless the inputs of `attention` fit each other."""
    shapes = ", ".join(
        f"{n} {tuple(t.shape)}" for n, t in zip("qkv", (q, k, v), strict=True)
    )
    if (q.ndim, k.ndim, v.ndim) != (4, 4, 4):
        raise ValueError(f"{shapes}: expected four dimensions, (B, nh, places, hs)")
    if not q.shape[:2] == k.shape[:2] == v.shape[:2] or q.shape[3] != k.shape[3]:
        raise ValueError(f"{shapes}: expected one B and one nh, and one hs for q and k")
    if k.shape[2] != v.shape[2]:
        raise ValueError(f"{shapes}: expected as many values as keys")
    if not (q.is_floating_point() and q.dtype == k.dtype == v.dtype):
        raise ValueError(
            f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}: expected one float type"
        )
    full = (*q.shape[:3], k.shape[2])
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(
            f"mask has dtype {mask.dtype}: expected torch.bool, True = may attend"
        )
    if bias is not None and not bias.is_floating_point():
        raise ValueError(f"bias has dtype {bias.dtype}: expected floats")
    for name, extra in (("mask", mask), ("bias", bias)):
        if extra is not None and not _broadcasts(extra.shape, full):
            raise ValueError(
                f"{name} has shape {tuple(extra.shape)}: "
                f"expected one that broadcasts to (B, nh, T, S) = {full}"
            )


def _broadcasts(shape: torch.Size, full: tuple[int, ...]) -> bool:
    """Whether `shape` broadcasts to `full` without making it larger."""
    if len(shape) > len(full):
        return False
    tail = full[len(full) - len(shape) :]
    return all(size in (1, n) for size, n in zip(shape, tail, strict=True))


class SelfAttention2d(nn.Module):
    """Each place gathers from all others what answers its question.

    x (B, C, H, W) -> x + gamma * gathered (B, C, H, W). gamma starts at 0, so that an
    untrained layer changes nothing (Zhang et al. 2019, arXiv:1805.08318, eqs. 1-3).
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 8
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each place gathers (B, C, H, W), and the weights (B, H*W, H*W).

        Each row of weights sums to 1.
        """
        b, _, h, w = x.shape
        q = self.query(x).flatten(2)  # (B, C/8, HW)
        k = self.key(x).flatten(2)  # (B, C/8, HW)
        v = self.value(x).flatten(2)  # (B, C/2, HW)
        weights = (q.transpose(1, 2) @ k).float().softmax(dim=2)  # (B, HW, HW)
        gathered = v @ weights.to(v.dtype).transpose(1, 2)  # (B, C/2, HW)
        return self.out(gathered.reshape(b, -1, h, w)), weights

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.attend(x)[0]
