"""Keys and values of the tokens that a decoder has read, so that none is read twice."""

import torch
from torch import Tensor, nn


class LayerCache:
    """The keys and values of one attention layer, with room for `size` tokens."""

    def __init__(self, batch: int, heads: int, size: int, head_size: int, like: Tensor):
        shape = (batch, heads, size, head_size)
        self.k = torch.empty(shape, device=like.device, dtype=like.dtype)
        self.v = torch.empty_like(self.k)
        self.length = 0
        self.recent: dict[nn.Module, Tensor] = {}

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store those of new tokens (B, nh, T, hs); return all (B, nh, S, hs)."""
        end = self.length + k.shape[2]
        self.k[:, :, self.length : end] = k
        self.v[:, :, self.length : end] = v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]

    def behind(self, reader: nn.Module, x: Tensor, n: int) -> Tensor:
        """x (B, T, C) behind the n rows that `reader` saw before, zeros at the start.

        Returns (B, n + T, C) and remembers its last n rows.
        """
        before = self.recent.get(reader)
        before = x.new_zeros(len(x), n, x.shape[2]) if before is None else before
        self.recent[reader] = (rows := torch.cat((before, x), dim=1))[:, -n:]
        return rows


class Cache:
    """One `LayerCache` per layer of a decoder; `last` holds the last token (B, 1)."""

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        size: int,
        head_size: int,
        like: Tensor,
    ):
        self.size, self.last = size, None
        self.layers = [
            LayerCache(batch, heads, size, head_size, like) for _ in range(layers)
        ]

    @property
    def length(self) -> int:
        """How many tokens it holds."""
        return self.layers[0].length


def position_of(tokens: Tensor, context: int, cache: Cache | None) -> int:
    """The position of the first of `tokens` (B, T), which stand behind those cached.

    Raises ValueError when the last one stands outside the context.
    """
    past = 0 if cache is None else cache.length
    if tokens.ndim != 2 or not tokens.numel():
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}: expected (B, T)")
    if past + tokens.shape[1] > context:
        raise ValueError(
            f"{past + tokens.shape[1]} tokens: expected at most {context}, "
            "the model's context"
        )
    return past


def by_columns(model: nn.Module) -> nn.Module:
    """Lay the weights of linear layers out in memory column by column, in place.

    The numbers stay the same. A product with a single row, which is what a cache leaves
    to do, then reads memory in the order in which it lies, and is faster on a CPU.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.T.contiguous().T
    return model
