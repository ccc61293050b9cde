"""GPT, the decoder-only Transformer, in the shape of GPT-2.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
"""

import math
from typing import Self

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from aigc_lib.nn.kv_cache import Cache, LayerCache, position_of


class CausalSelfAttention(nn.Module):
    """Each token gathers from itself and from those before it: (B, T, C) -> same."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        qkv = self.qkv(x)  # (B, T, 3C)
        q, k, v = rearrange(
            qkv, "b t (three nh hs) -> three b nh t hs", three=3, nh=self.heads
        )
        if cache is not None:
            k, v = cache.append(k, v)  # (B, nh, S, hs)
        y = attend(q, k, v)  # (B, nh, T, hs)
        return self.out(rearrange(y, "b nh t hs -> b t (nh hs)"))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of the last T of S tokens; q (B, nh, T, hs) -> (B, nh, T, hs).

    k, v (B, nh, S, hs). Query i is token S - T + i and sees the tokens up to itself: in
    training T = S, with a cache T is 1. No weights are kept, so it is lean. Torch's
    fused operation does the same and skips the future: it is used where it is faster,
    which on a CPU in bfloat16 it is not.
    """
    t, s, hs = q.shape[2], k.shape[2], q.shape[3]
    if t == s and (v.is_cuda or v.dtype == torch.float32):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    allowed = torch.zeros(t, s, dtype=q.dtype, device=q.device)
    if t > 1:
        allowed = torch.full_like(allowed, -math.inf).triu(s - t + 1)  # 0 for the past
    # One operation for q k^T / sqrt(hs) + allowed: large tensors are slow to pass over.
    scores = torch.baddbmm(
        allowed, q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), alpha=hs**-0.5
    )  # (B * nh, T, S)
    return (scores.softmax(dim=-1).to(v.dtype) @ v.flatten(0, 1)).view_as(q)


class MLP(nn.Module):
    """What a token does with what it has gathered: (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int):
        super().__init__()
        self.hidden = nn.Linear(width, 4 * width)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.gelu(self.hidden(x), approximate="tanh"))


class Block(nn.Module):
    """Attention, then the MLP; each reads a normalised copy and adds its result."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), cache)
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Logits of the next token after each token: (B, T) int64 -> (B, T, V).

    vocabulary: V, the number of different tokens; context: the most tokens it reads at
    once. Without dropout, which a model that sees each text about once does not need.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int = 64,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width}: expected a multiple of {heads} heads")
        self.context, self.heads = context, heads
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.token.weight  # tied: one table for reading and writing
        self.apply(_initialise)
        for block in self.blocks:  # 2 * layers results are added up in x
            for out in (block.attention.out, block.mlp.out):
                nn.init.normal_(out.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        return self.head(self.hidden(tokens, cache))  # (B, T, V)

    def hidden(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """What the head reads: (B, T) int64 -> (B, T, C)."""
        first = position_of(tokens, self.context, cache)
        positions = torch.arange(first, first + tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(positions)  # (B, T, C)
        layers = [None] * len(self.blocks) if cache is None else cache.layers
        for block, layer in zip(self.blocks, layers, strict=True):
            x = block(x, layer)
        return self.norm(x)

    def next_logits(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """The logits after the last of tokens (B, T) alone: (B, V)."""
        return self.head(self.hidden(tokens, cache)[:, -1])

    def new_cache(self, batch: int, size: int | None = None) -> Cache:
        """An empty cache for `batch` texts of up to `size` tokens (the context)."""
        w = self.token.weight
        head_size = w.shape[1] // self.heads
        return Cache(
            len(self.blocks), batch, self.heads, size or self.context, head_size, w
        )

    @classmethod
    def from_transformers(cls, theirs: nn.Module) -> Self:
        """A copy of a `GPT2LMHeadModel` of the library transformers: equal logits."""
        c = theirs.config
        ours = cls(c.vocab_size, c.n_positions, c.n_layer, c.n_head, c.n_embd)
        if c.activation_function != "gelu_new" or c.n_inner not in (None, 4 * c.n_embd):
            raise ValueError(
                f"activation {c.activation_function!r}, hidden width {c.n_inner}: "
                f"expected 'gelu_new' and 4 * {c.n_embd}, as in GPT-2"
            )
        state = theirs.state_dict()
        with torch.no_grad():
            for name, tensor in ours.named_parameters():
                found = state[_name_in_transformers(name)]
                linear = found.ndim == 2 and name.startswith("blocks")
                tensor.copy_(found.T if linear else found)  # theirs are (in, out)
        return ours.eval()


NAMES = {  # ours -> in transformers
    "token.": "wte.",
    "position.": "wpe.",
    "blocks.": "h.",
    "norm1.": "ln_1.",
    "norm2.": "ln_2.",
    "attention.qkv.": "attn.c_attn.",
    "attention.out.": "attn.c_proj.",
    "mlp.hidden.": "mlp.c_fc.",
    "mlp.out.": "mlp.c_proj.",
}


def _name_in_transformers(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return "transformer." + ("ln_f." + name[5:] if name.startswith("norm.") else name)


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02^2), biases 0, as GPT-2 has them."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
