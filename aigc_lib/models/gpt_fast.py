"""A small GPT that learns more than GPT-2's shape in the same time on a CPU.

What each of its parts gains is measured by the race in tools/bench/races/gpt.py. Most
are those of modern open models; the whole follows Keller Jordan's modded-nanogpt.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aigc_lib.models.gpt import attend
from aigc_lib.nn.kv_cache import Cache, LayerCache, position_of

Angles = tuple[Tensor, Tensor]  # cosines and sines, each (T, hs / 2)


def rms_norm(x: Tensor) -> Tensor:
    """Each vector (..., C) at length sqrt(C); no mean is subtracted, no weights.

    Zhang & Sennrich 2019, arXiv:1910.07467.
    """
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def turn(x: Tensor, angles: Angles) -> Tensor:
    """Rotary positions: pairs (i, i + hs/2) of (B, nh, T, hs) turned by `angles`.

    Su et al. 2021, arXiv:2104.09864; the pairs are those of LLaMA, whose halves are
    contiguous and therefore fast.
    """
    cos, sin = angles
    a, b = x.chunk(2, dim=-1)  # (B, nh, T, hs/2)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


class Attention(nn.Module):
    """Causal attention with rotary positions; queries and keys have one length each.

    So no score can grow without bound (Henry et al. 2020, arXiv:2010.04245); a learned
    scale per head says how sharp its attention is.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor, angles: Angles, cache: LayerCache | None) -> Tensor:
        qkv = self.qkv(x)  # (B, T, 3C)
        qkv = rearrange(qkv, "b t (nh hs) -> b nh t hs", nh=3 * self.heads)
        qk, v = qkv.split((2 * self.heads, self.heads), dim=1)
        q, k = turn(rms_norm(qk), angles).chunk(2, dim=1)  # (B, nh, T, hs) each
        q = q * self.scale
        if cache is not None:
            k, v = cache.append(k, v)  # (B, nh, S, hs)
        y = attend(q, k, v)  # (B, nh, T, hs)
        return self.out(rearrange(y, "b nh t hs -> b t (nh hs)"))


class MLP(nn.Module):
    """The square of ReLU between two layers (So et al. 2021, arXiv:2109.08668)."""

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Linear(width, 4 * width, bias=False)
        self.out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(x))
        return self.out(h * h)


class ShortConvolution(nn.Module):
    """Each token plus learned shares of the `taps` tokens before it: (B, T, C) -> same.

    Each channel has its own shares, 0 at first: a causal depthwise convolution, which
    finds what stands right before without any attention. So et al. 2021 put one behind
    queries, keys and values, section 4.2; here it stands before all a block reads.
    """

    def __init__(self, width: int, taps: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(taps, 1, width))

    def forward(self, x: Tensor, cache: LayerCache | None) -> Tensor:
        n, t = len(self.weight), x.shape[1]
        rows = F.pad(x, (0, 0, n, 0)) if cache is None else cache.behind(self, x, n)
        for back, share in enumerate(self.weight, start=1):
            x = torch.addcmul(x, share, rows[:, n - back : n - back + t])
        return x


class Block(nn.Module):
    """Attention, then the MLP, each on a normalised copy of x."""

    def __init__(self, width: int, heads: int, taps: int = 0):
        super().__init__()
        self.attention, self.mlp = Attention(width, heads), MLP(width)
        nn.init.zeros_(self.attention.out.weight)  # an untrained block changes nothing
        nn.init.zeros_(self.mlp.out.weight)
        short = (ShortConvolution(width, taps) for _ in range(2))
        self.short = nn.ModuleList(short) if taps else None

    def forward(self, x: Tensor, angles: Angles, cache: LayerCache | None) -> Tensor:
        x = x + self.attention(self._read(x, 0, cache), angles, cache)
        return x + self.mlp(self._read(x, 1, cache))

    def _read(self, x: Tensor, which: int, cache: LayerCache | None) -> Tensor:
        """x normalised, with shares of the tokens before where the block has them."""
        x = rms_norm(x)
        return x if self.short is None else self.short[which](x, cache)


class FastGPT(nn.Module):
    """Logits of the next token after each token: (B, T) int64 -> (B, T, V).

    pairs: rows of a second embedding, of a token and the one before it together; 0 for
    none, vocabulary**2 for one row per pair, less for pairs that share rows. taps: how
    many tokens before it each token sees by short convolutions, 0 for none. cap: no
    logit is larger (Gemma 2, arXiv:2408.00118).
    """

    def __init__(
        self,
        vocabulary: int,
        context: int = 64,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        pairs: int = 0,
        cap: float = 15.0,
        taps: int = 0,
    ):
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width}: expected a multiple of {2 * heads}")
        self.context, self.heads, self.cap = context, heads, cap
        self.token = nn.Embedding(vocabulary, width)
        self.pair = nn.Embedding(pairs, width) if pairs else None
        self.blocks = nn.ModuleList(Block(width, heads, taps) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.zeros_(self.head.weight)  # so the first loss is exactly log V
        half = width // heads // 2
        frequencies = 1000.0 ** -(torch.arange(half) / half)
        angles = torch.outer(torch.arange(context), frequencies)  # (context, hs/2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        return self._logits(self.hidden(tokens, cache))  # (B, T, V)

    def next_logits(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """The logits after the last of tokens (B, T) alone: (B, V)."""
        return self._logits(self.hidden(tokens, cache)[:, -1])

    def _logits(self, x: Tensor) -> Tensor:
        logits = self.head(x).float()
        return self.cap * torch.tanh(logits / self.cap)

    def hidden(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """What the head reads: (B, T) int64 -> (B, T, C)."""
        first = position_of(tokens, self.context, cache)
        last = first + tokens.shape[1]
        angles = self.cos[first:last], self.sin[first:last]
        before = None if cache is None else cache.last
        x = rms_norm(self._embed(tokens, before, first))  # (B, T, C)
        layers = [None] * len(self.blocks) if cache is None else cache.layers
        for block, layer in zip(self.blocks, layers, strict=True):
            x = block(x, angles, layer)
        if cache is not None:
            cache.last = tokens[:, -1:]
        return rms_norm(x)

    def _embed(self, tokens: Tensor, before: Tensor | None, first: int) -> Tensor:
        """The sum of both embeddings (B, T, C); the first token follows token 0.

        first: its place, which a subclass may want to know.
        """
        x = self.token(tokens)
        if self.pair is None:
            return x
        if before is None:
            before = torch.zeros_like(tokens[:, :1])
        previous = torch.cat((before, tokens[:, :-1]), dim=1)  # (B, T)
        pair = previous * self.token.num_embeddings + tokens
        return x + self.pair(pair % self.pair.num_embeddings)

    def new_cache(self, batch: int, size: int | None = None) -> Cache:
        """An empty cache for `batch` texts of up to `size` tokens (the context)."""
        w = self.token.weight
        head_size = w.shape[1] // self.heads
        return Cache(
            len(self.blocks), batch, self.heads, size or self.context, head_size, w
        )
