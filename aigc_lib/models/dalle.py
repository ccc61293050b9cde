"""DALL-E in small: a caption and a picture are one row of tokens, for one GPT.

Ramesh et al. 2021, arXiv:2102.12092. Shapes: B rows, T tokens of a caption, h w tokens
of a picture, S = T + h w, K codes, V tokens of both kinds, C width.
"""

import torch
from torch import Tensor, nn

from aigc_lib.data.words import Words
from aigc_lib.models.gpt_fast import FastGPT


class DALLE(FastGPT):
    """Logits of the next token, of a word or of a picture: (B, S) -> (B, S, V).

    A row holds the T tokens of a caption and then those of a picture, line by line.
    Their numbers start where those of the words end. Beside the rotary positions each
    place has a vector: in a caption one of its own, in a picture the sum of one for its
    line and one for its column.
    """

    def __init__(
        self,
        words: Words,
        codes: int,
        shape: tuple[int, int] = (8, 8),
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
    ):
        h, w = shape
        text = words.longest + 2  # with start and end
        V = len(words) + codes
        super().__init__(V, text + h * w - 1, layers, heads, width)
        self.words, self.codes, self.shape, self.text = words, codes, shape, text
        self.place = nn.Embedding(text, width)
        self.line, self.column = nn.Embedding(h, width), nn.Embedding(w, width)

    def _embed(self, tokens: Tensor, before: Tensor | None, first: int) -> Tensor:
        """Tokens that stand from place `first` on, with their places: (B, T, C)."""
        grid = self.line.weight[:, None] + self.column.weight  # (h, w, C)
        places = torch.cat((self.place.weight, grid.flatten(0, 1)))  # (S, C)
        last = first + tokens.shape[1]
        return super()._embed(tokens, before, first) + places[first:last]

    def captions(self, texts: list[str]) -> Tensor:
        """Texts -> (B, T) int64, on the model's device.

        Raises ValueError for an empty text or an unknown word, which it names.
        """
        return self.words.encode(texts).to(self.token.weight.device)

    def blank(self) -> Tensor:
        """The caption that says nothing, (T,): start, end and padding."""
        return self.words.nothing().to(self.token.weight.device)

    def rows(self, captions: Tensor, pictures: Tensor) -> Tensor:
        """Captions (B, T) and tokens of pictures (B, h, w) -> rows (B, S) int64.

        Raises ValueError for another size and for tokens of a larger codebook.
        """
        if captions.shape[1:] != (self.text,):
            raise ValueError(
                f"captions {tuple(captions.shape)}: expected (B, {self.text})"
            )
        return torch.cat((captions, self.numbered(pictures)), dim=1)

    def numbered(self, pictures: Tensor) -> Tensor:
        """Tokens of pictures (B, h, w), or of their first lines, as they stand in rows.

        Raises ValueError for another size and for tokens of a larger codebook.
        """
        h, w = self.shape
        if pictures.ndim != 3 or pictures.shape[2] != w or pictures.shape[1] > h:
            raise ValueError(
                f"tokens of pictures {tuple(pictures.shape)}: expected (B, {h}, {w}), "
                "or fewer lines"
            )
        if pictures.numel() and not 0 <= pictures.min() <= pictures.max() < self.codes:
            raise ValueError(
                f"tokens from {int(pictures.min())} to {int(pictures.max())}: expected "
                f"0 to {self.codes - 1}, the codes of this model's codebook"
            )
        return pictures.flatten(1) + len(self.words)

    def pictures(self, rows: Tensor) -> Tensor:
        """The tokens of the pictures, (B, h, w) int64, in complete rows (B, S)."""
        return rows[:, self.text :].unflatten(1, self.shape) - len(self.words)
