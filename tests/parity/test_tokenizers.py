"""Our merges inside the production libraries: the same ids, on 10,000 random strings of any Unicode."""

import random
import unicodedata

import pytest

from aigc_lib import data
from aigc_lib.data import bpe, tokenizers

pytest.importorskip("tokenizers")
pytest.importorskip("tiktoken")

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
TEXT = data.shakespeare()[:200_000] + "\n".join(map(str, data.tang()[:1000]))
OURS = tokenizers.BPETokenizer.train(TEXT, 1000, special=["<|end|>"])
# Their tables of Unicode are newer than Python's: leave out what ours does not know yet.
ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]


def random_strings(n=10_000, seed=0):
    rng = random.Random(seed)
    words = TEXT[:20_000].split() + list(TEXT[-3000:])
    for _ in range(n):
        parts = []
        for _ in range(rng.randrange(12)):
            kind = rng.random()
            if kind < 0.3:
                parts.append(rng.choice(words))
            elif kind < 0.6:
                parts.append("".join(rng.choices(ASSIGNED, k=rng.randrange(1, 5))))
            elif kind < 0.8:
                parts.append(
                    "".join(rng.choices(" \n\t\x85\u3000\x1c\u200b'_-.0123456789sdtmrevl", k=rng.randrange(1, 6)))
                )
            else:
                start = rng.randrange(len(TEXT) - 20)
                parts.append(TEXT[start : start + rng.randrange(20)])
        yield rng.choice(["", " "]).join(parts)


STRINGS = list(random_strings())


def huggingface():
    # [at-work]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = bytes_as_letters()  # this library stores bytes as visible letters
    name = ["".join(letters[byte] for byte in token) for token in OURS.tokens]
    model = models.BPE(
        vocab={spelled: i for i, spelled in enumerate(name[:-1])},
        merges=[(name[a], name[b]) for a, b in OURS.merges],
    )
    theirs = Tokenizer(model)
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    # [/at-work]
    return theirs


def bytes_as_letters():
    """GPT-2's table: visible Latin-1 characters stand for themselves, the others for U+0100 onwards."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def test_the_strings_reach_all_of_unicode():
    everything = "".join(STRINGS)
    assert len(set(everything)) > 20_000 and len(STRINGS) == 10_000
    assert len(set(OURS.encode(everything))) > 1_150  # nearly every token


def test_ids_are_those_of_huggingface_tokenizers():
    theirs = huggingface()
    encoded = theirs.encode_batch(STRINGS, add_special_tokens=False)
    for text, found in zip(STRINGS, encoded, strict=True):
        assert OURS.encode(text) == found.ids, repr(text)
        assert theirs.decode(found.ids) == text


def test_ids_are_those_of_tiktoken():
    import tiktoken

    ranks = {token: i for i, token in enumerate(OURS.tokens[:-1])}
    theirs = tiktoken.Encoding("ours", pat_str=GPT2, mergeable_ranks=ranks, special_tokens=OURS.special_ids)
    for text in STRINGS:
        assert OURS.encode(text) == theirs.encode(text, disallowed_special=()), repr(text)
    marked = "one<|end|>two"
    assert OURS.encode(marked, allow_special=True) == theirs.encode(marked, allowed_special="all")
    assert OURS.encode(marked) == theirs.encode(marked, disallowed_special=())


def test_pieces_are_those_of_gpt2():
    import regex

    pattern = regex.compile(GPT2)
    for text in STRINGS:
        # Here \s is Python's, with four control characters that Unicode does not call white space.
        if not set(text) & set("\x1c\x1d\x1e\x1f"):
            assert bpe.split(text) == pattern.findall(text), repr(text)
