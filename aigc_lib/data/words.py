"""Whole words as tokens, for captions whose words are all known."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import torch
from torch import Tensor

FEW = 40  # so many words are listed in full in a message


class Words:
    """Texts to rows of tokens and back, by a list of words.

    Token 0 is padding; 1, 2, … are the words, in order; the last two are `start` and
    `end`. Every row has `longest` words at most between these two, then padding. Case
    and punctuation do not count. Raises ValueError for a word that occurs twice.
    """

    def __init__(self, words: Iterable[str], longest: int):
        self.words, self.longest = list(words), longest
        self.ids = {word: i for i, word in enumerate(self.words, start=1)}
        if len(self.ids) != len(self.words):
            raise ValueError(f"{len(self.words)} words: expected no word twice")
        self.start, self.end = len(self.words) + 1, len(self.words) + 2

    def __len__(self) -> int:
        """The number of tokens, V."""
        return len(self.words) + 3

    def encode(self, texts: Iterable[str]) -> Tensor:
        """Texts to tokens (B, longest + 2) int64.

        Raises ValueError for one string instead of several, and for a text without
        words, with more than `longest`, or with an unknown one, which it names.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts={texts!r}: expected a list of them, [{texts!r}]")
        rows = []
        for text in texts:
            said = split(text)
            if not 1 <= len(said) <= self.longest:
                raise ValueError(
                    f"text {text!r} has {len(said)} words: expected 1 to {self.longest}"
                )
            ids = [self.start, *(self._id(word, text) for word in said), self.end]
            rows.append(ids + [0] * (self.longest - len(said)))
        return torch.tensor(rows, dtype=torch.int64).view(-1, self.longest + 2)

    def nothing(self) -> Tensor:
        """The row of no text at all, (longest + 2,) int64: start, end, padding."""
        return torch.tensor([self.start, self.end] + [0] * self.longest)

    def decode(self, tokens: Tensor) -> list[str]:
        """Tokens (B, T) to texts, without padding, start and end."""
        n = len(self.words)
        return [
            " ".join(self.words[i - 1] for i in row if 1 <= i <= n)
            for row in tokens.tolist()
        ]

    def _id(self, word: str, text: str) -> int:
        if word in self.ids:
            return self.ids[word]
        if len(self.words) <= FEW:
            choice = f"expected one of {', '.join(self.words)}"
        else:
            near = get_close_matches(word, self.words, n=5, cutoff=0.5)
            choice = f"expected one of {len(self.words)} known words"
            choice += f", such as {', '.join(near or self.words[:5])}"
        raise ValueError(f"word {word!r} in {text!r}: {choice}")


def split(text: str) -> list[str]:
    """The words of a text, in small letters: runs of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())
