"""A small BERT: the Transformer's encoder between an embedding and logits.

Devlin et al. 2019, arXiv:1810.04805, without its second task (next sentence) and with
pre-norm. Shapes: B batch, T tokens, C width, V vocabulary, N places that are asked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_lib.models.transformer import Encoder, EncoderLayer, real


class Bert(nn.Module):
    """Logits of what stands in the gaps of rows of tokens.

    Token 0 is padding; the mask has the number `vocabulary` and is never an answer. One
    table serves the input and, transposed, the logits. longest: places with a learned
    vector.
    """

    def __init__(
        self,
        vocabulary: int,
        longest: int,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.mask = vocabulary
        self.token = nn.Embedding(vocabulary + 1, width)
        self.place = nn.Embedding(longest, width)
        for table in (self.token, self.place):
            nn.init.normal_(table.weight, std=0.02)  # so the first loss is about log V
        shape = (width, heads, 4 * width, dropout, True, "gelu")
        self.encoder = Encoder(EncoderLayer(*shape) for _ in range(layers))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens: Tensor, asked: Tensor) -> Tensor:
        """tokens (B, T), asked (B, T) bool, N of them True -> (N, V), row by row."""
        x = self.token(tokens) + self.place.weight[: tokens.shape[1]]  # (B, T, C)
        x = self.encoder(x, real(tokens))[asked]  # (N, C)
        return F.linear(x, self.token.weight[:-1], self.bias)  # (N, V)
