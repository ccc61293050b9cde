"""The Transformer: encoder layer, decoder layer, their stacks, and the whole model.

Vaswani et al. 2017, arXiv:1706.03762, with normalisation before each part (pre-norm,
Xiong et al. 2020, arXiv:2002.04745) or after it (post-norm, as in the paper).
Shapes: B batch, S source tokens, T target tokens, C width, nh heads, V vocabulary.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aigc_lib.nn.attention import MultiHeadAttention, causal_mask
from aigc_lib.nn.embeddings import sinusoidal

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "swiglu": F.silu}


class FeedForward(nn.Module):
    """Two linear maps with a bend between them, at each token alone.

    (B, T, C) -> (B, T, C) by way of `hidden` numbers per token. "relu" is the paper's,
    "gelu" that of BERT and GPT; "swiglu" multiplies by a second linear map (Shazeer
    2020, arXiv:2002.05202), which is a third matrix. Raises ValueError for others.
    """

    def __init__(self, width: int, hidden: int, kind: str = "relu"):
        super().__init__()
        if kind not in ACTIVATIONS:
            raise ValueError(f"kind={kind!r}: expected one of {', '.join(ACTIVATIONS)}")
        self.bend = ACTIVATIONS[kind]
        self.up = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if kind == "swiglu" else None
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bend(self.up(x))  # (B, T, hidden)
        if self.gate is not None:
            h = h * self.gate(x)
        return self.down(h)


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward net; each adds to the residual stream."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.1,
        pre_norm: bool = True,
        kind: str = "relu",
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, kind)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, S, C), mask as for `attention` -> (B, S, C)."""
        first, second = self.norms
        if self.pre_norm:
            x = x + self.dropout(self.attention(first(x), mask=mask))
            return x + self.dropout(self.feed_forward(second(x)))
        x = first(x + self.dropout(self.attention(x, mask=mask)))
        return second(x + self.dropout(self.feed_forward(x)))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention to the memory, the feed-forward net."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.1,
        pre_norm: bool = True,
        kind: str = "relu",
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = MultiHeadAttention(width, heads)
        self.cross = MultiHeadAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden, kind)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, y: Tensor, memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What leaves the layer (B, T, C), and the cross weights (B, nh, T, S).

        y (B, T, C), memory (B, S, C); mask says which places of the memory may be read.
        """
        causal = causal_mask(y.shape[1], y.device)
        first, second, third = self.norms
        if self.pre_norm:
            y = y + self.dropout(self.attention(first(y), mask=causal))
            found, weights = self.cross.attend(second(y), memory, mask)
            y = y + self.dropout(found)
            return y + self.dropout(self.feed_forward(third(y))), weights
        y = first(y + self.dropout(self.attention(y, mask=causal)))
        found, weights = self.cross.attend(y, memory, mask)
        y = second(y + self.dropout(found))
        return third(y + self.dropout(self.feed_forward(y))), weights


class Encoder(nn.Module):
    """Encoder layers; with pre-norm, a last norm, since the stream itself has none."""

    def __init__(self, layers: Iterable[EncoderLayer]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = _last_norm(self.layers[0])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, C) -> (B, S, C)."""
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)


class Decoder(nn.Module):
    """Decoder layers, and a last norm as in `Encoder`."""

    def __init__(self, layers: Iterable[DecoderLayer]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = _last_norm(self.layers[0])

    def forward(
        self, y: Tensor, memory: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, T, C), and the cross weights of all layers (B, layers, nh, T, S)."""
        weights = []
        for layer in self.layers:
            y, looked = layer(y, memory, mask)
            weights.append(looked)
        return self.norm(y), torch.stack(weights, dim=1)


class Transformer(nn.Module):
    """From a source sequence to the logits of a target sequence.

    Source and target share a vocabulary of V tokens; token 0 is padding. One table
    serves source, target and, transposed, the logits (section 3.4 of the paper).
    hidden: the width inside the feed-forward nets, 4 * width if None.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        hidden: int | None = None,
        dropout: float = 0.1,
        pre_norm: bool = True,
        kind: str = "relu",
    ):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        shape = (width, heads, hidden or 4 * width, dropout, pre_norm, kind)
        self.encoder = Encoder(EncoderLayer(*shape) for _ in range(layers))
        self.decoder = Decoder(DecoderLayer(*shape) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def stream(self, tokens: Tensor) -> Tensor:
        """(B, T) whole numbers -> (B, T, C): the tokens' vectors, with positions."""
        places = sinusoidal(tokens.shape[1], self.embed.embedding_dim).to(tokens.device)
        scale = math.sqrt(self.embed.embedding_dim)
        return self.dropout(scale * self.embed(tokens) + places)

    def encode(self, source: Tensor) -> Tensor:
        """(B, S) whole numbers -> the memory (B, S, C)."""
        return self.encoder(self.stream(source), real(source))

    def decode(
        self, target: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, T, V) of the token after each target token; the cross weights."""
        y, weights = self.decoder(self.stream(target), memory, mask)
        return F.linear(y, self.embed.weight), weights

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S), (B, T) whole numbers -> (B, T, V); target begins with a start."""
        return self.decode(target, self.encode(source), real(source))[0]

    @torch.no_grad()
    def greedy(self, source: Tensor, start: int, end: int, longest: int) -> Tensor:
        """Write the most likely next token, again and again: (B, S) -> (B, <= longest).

        The start is not returned. After its end a row holds padding.
        """
        memory, mask = self.encode(source), real(source)
        target = source.new_full((len(source), 1), start)
        done = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(longest):
            logits, _ = self.decode(target, memory, mask)
            token = logits[:, -1].argmax(dim=-1).masked_fill(done, 0)  # (B,)
            target = torch.cat([target, token[:, None]], dim=1)
            done = done | (token == end)
            if done.all():
                break
        return target[:, 1:]


def _last_norm(layer: EncoderLayer | DecoderLayer) -> nn.Module:
    width = layer.norms[0].normalized_shape
    return nn.LayerNorm(width) if layer.pre_norm else nn.Identity()


def real(tokens: Tensor) -> Tensor:
    """(B, 1, 1, T) bool: True where a token is no padding."""
    return (tokens != 0)[:, None, None, :]


@torch.no_grad()
def copy_torch(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights of a layer or stack of torch's into ours, of the same shape.

    ours: EncoderLayer, DecoderLayer, Encoder or Decoder; theirs: the class of torch.nn
    that starts with Transformer.
    """
    if isinstance(ours, Encoder | Decoder):
        for mine, other in zip(ours.layers, theirs.layers, strict=True):
            copy_torch(mine, other)
        if theirs.norm is not None:
            ours.norm.load_state_dict(theirs.norm.state_dict())
        return
    ours.attention = MultiHeadAttention.from_torch(theirs.self_attn)
    if isinstance(ours, DecoderLayer):
        ours.cross = MultiHeadAttention.from_torch(theirs.multihead_attn)
    ours.feed_forward.up.load_state_dict(theirs.linear1.state_dict())
    ours.feed_forward.down.load_state_dict(theirs.linear2.state_dict())
    for number, norm in enumerate(ours.norms, start=1):
        norm.load_state_dict(getattr(theirs, f"norm{number}").state_dict())
