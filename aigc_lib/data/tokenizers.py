"""Tokenizers: text to whole numbers and back, by characters, bytes or byte pairs."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from aigc_lib.data.bpe import Pair, learn_merges, merge_all, split


class CharTokenizer:
    """One token a character, of those that `characters` holds."""

    def __init__(self, characters: str):
        if len(set(characters)) != len(characters) or not characters:
            raise ValueError(
                f"{len(characters)} characters, {len(set(characters))} different: "
                f"expected at least one, and each once"
            )
        self.characters = characters
        self.ids = {character: i for i, character in enumerate(characters)}
        self.vocab_size = len(characters)

    @classmethod
    def of(cls, text: str) -> "CharTokenizer":
        """The tokenizer that knows the characters of `text`, in Unicode's order."""
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> list[int]:
        """Text to ids. Raises ValueError, which names a character that is unknown."""
        try:
            return [self.ids[character] for character in text]
        except KeyError as error:
            unknown = error.args[0]
            raise ValueError(
                f"character {unknown!r} (U+{ord(unknown):04X}) at position "
                f"{text.index(unknown)}: not one of the {self.vocab_size} characters "
                f"of this tokenizer"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text. Raises ValueError for an id out of range."""
        return "".join(_lookup(self.characters, ids))

    def as_dict(self) -> dict:
        return {"kind": "characters", "characters": self.characters}


class BPETokenizer:
    """Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over UTF-8 bytes.

    Ids 0..255 are the bytes; id 256 + i joins the two ids of merges[i]; the special
    tokens follow. Merges never cross the borders of `split`'s pieces. With no merges
    and no special tokens this is the byte tokenizer.
    """

    def __init__(self, merges: Sequence[Pair] = (), special: Sequence[str] = ()):
        self.merges = [tuple(pair) for pair in merges]
        self.special = list(special)
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.tokens = [bytes([i]) for i in range(256)]
        for i, (a, b) in enumerate(self.merges):
            if not (0 <= a < 256 + i and 0 <= b < 256 + i):
                raise ValueError(
                    f"merge {i} joins {a} and {b}: expected ids in 0..{255 + i}"
                )
            self.tokens.append(self.tokens[a] + self.tokens[b])
        if len(set(self.tokens)) < len(self.tokens):
            raise ValueError("two merges spell the same token: expected different ones")
        if len(set(self.special)) < len(self.special) or "" in self.special:
            raise ValueError(f"special tokens {self.special}: expected different names")
        self.special_ids = {
            name: len(self.tokens) + i for i, name in enumerate(self.special)
        }
        self.tokens += [name.encode() for name in self.special]
        self.vocab_size = len(self.tokens)
        self._known = {}  # the ids of pieces that have been seen

    @classmethod
    def train(
        cls, text: str, merges: int, special: Sequence[str] = ()
    ) -> "BPETokenizer":
        """Learn up to `merges` merges; fewer where no pair occurs twice any more."""
        pieces = Counter(piece.encode() for piece in split(text))
        return cls(learn_merges(pieces, merges), special)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Text to ids.

        The name of a special token that stands in the text is ordinary text, unless
        `allow_special`. Raises ValueError for a lone surrogate, which no UTF-8 has.
        """
        names = sorted(self.special, key=len, reverse=True) if allow_special else []
        parts = [text]
        if names:
            parts = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
        ids = []
        for i, part in enumerate(parts):
            if i % 2:  # re.split puts what it split at between the rest
                ids.append(self.special_ids[part])
                continue
            for piece in split(part):
                ids += self._piece(piece.encode())
        return ids

    def _piece(self, piece: bytes) -> list[int]:
        if piece not in self._known:
            self._known[piece] = merge_all(list(piece), self.rank)
        return self._known[piece]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Ids to bytes, exactly. Raises ValueError for an id out of range."""
        return b"".join(_lookup(self.tokens, ids))

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text; bytes that are no UTF-8 become U+FFFD, the character �."""
        return self.decode_bytes(ids).decode(errors="replace")

    def as_dict(self) -> dict:
        return {"kind": "bpe", "merges": self.merges, "special": self.special}


def _lookup(table: Sequence, ids: Iterable[int]) -> list:
    found = []
    for i in ids:
        if not 0 <= i < len(table):
            raise ValueError(f"id {i}: expected 0..{len(table) - 1}")
        found.append(table[i])
    return found


def save(tokenizer: CharTokenizer | BPETokenizer, file: str | Path) -> None:
    """Write a tokenizer as JSON."""
    Path(file).write_text(json.dumps(tokenizer.as_dict()), "utf-8")


def load(file: str | Path) -> CharTokenizer | BPETokenizer:
    """Read what `save` wrote. Raises ValueError, with the reason, for anything else."""
    try:
        return from_dict(json.loads(Path(file).read_bytes()))
    except OSError as error:
        raise ValueError(f"tokenizer {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # JSON's and UTF-8's errors are, too
        raise ValueError(f"tokenizer {file}: {error}") from error


def from_dict(content: object) -> CharTokenizer | BPETokenizer:
    """The tokenizer of `as_dict`'s result. Raises ValueError for anything else."""
    match content:
        case {"kind": "characters", "characters": str(characters)}:
            return CharTokenizer(characters)
        case {"kind": "bpe", "merges": list(merges), "special": list(special)}:
            pairs = [pair for pair in merges if _is_pair(pair)]
            if len(pairs) < len(merges) or not all(isinstance(s, str) for s in special):
                raise ValueError("damaged: expected pairs of ids, and names")
            return BPETokenizer(pairs, special)
    keys = sorted(content)[:5] if isinstance(content, dict) else type(content).__name__
    raise ValueError(f"no tokenizer of this course; found {keys}, expected a kind")


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(type(i) is int for i in pair)
    )
