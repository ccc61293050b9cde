"""Tokenizers: nothing is lost, merges are the most frequent pairs, and foreign files are refused."""

import json
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_lib import data
from aigc_lib.data import bpe, tokenizers
from aigc_lib.data.tokenizers import BPETokenizer, CharTokenizer

TEXT = data.shakespeare()[:60_000] + "\n".join(map(str, data.tang()[:300]))
TRAINED = BPETokenizer.train(TEXT, 400, special=["<|end|>", "<|end|>>"])
texts = st.text(max_size=60) | st.lists(
    st.sampled_from(["the ", " don't", "  ", "\n", "春眠", "，", "12", "<|end|>", "é", "👩‍🚀", "\x1c", "½"])
).map("".join)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(text):
    for tokenizer in (TRAINED, BPETokenizer()):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and all(0 <= i < tokenizer.vocab_size for i in ids)
        assert tokenizer.decode(tokenizer.encode(text, allow_special=True)) == text
    assert "".join(bpe.split(text)) == text and "" not in bpe.split(text)
    assert BPETokenizer().encode(text) == list(text.encode())
    if text:
        characters = CharTokenizer.of(text)
        assert characters.decode(characters.encode(text)) == text


@given(st.lists(st.integers(0, TRAINED.vocab_size - 1), max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_ids_can_be_decoded(ids):
    assert TRAINED.decode(ids) == TRAINED.decode_bytes(ids).decode(errors="replace")


def naive_merges(pieces, n):
    """As in the chapter: count all pairs again after each merge."""
    words = {tuple(piece): k for piece, k in pieces.items()}
    learned, spelled = [], [bytes([i]) for i in range(256)]
    for _ in range(n):
        count = Counter()
        for word, k in words.items():
            for pair in pairwise(word):
                count[pair] += k
        count = {p: k for p, k in count.items() if k > 1 and spelled[p[0]] + spelled[p[1]] not in spelled}
        if not count:
            break
        best = min(count, key=lambda pair: (-count[pair], pair))
        learned.append(best)
        spelled.append(spelled[best[0]] + spelled[best[1]])
        words = {tuple(bpe.merge(list(word), best, len(spelled) - 1)): k for word, k in words.items()}
    return learned


@given(st.lists(st.text("ab ", min_size=1, max_size=12), min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_merges_are_the_most_frequent_pairs(words):
    pieces = Counter(word.encode() for word in words)
    assert bpe.learn_merges(pieces, 12) == naive_merges(pieces, 12)


def test_merges_of_a_real_text():
    pieces = Counter(piece.encode() for piece in bpe.split(TEXT[:20_000] + TEXT[-2_000:]))
    assert bpe.learn_merges(pieces, 60) == naive_merges(pieces, 60)


def test_fewer_merges_mean_the_first_ones():
    fewer = BPETokenizer.train(TEXT, 150)
    assert fewer.merges == TRAINED.merges[:150] and TRAINED.vocab_size == 256 + 400 + 2
    assert len(fewer.encode(TEXT)) > len(TRAINED.encode(TEXT))


def test_the_textbook_example():
    # Sennrich et al. 2016, Algorithm 1: low 5, lower 2, newest 6, widest 3; first e s, then es t.
    pieces = Counter({b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3})
    tokens = BPETokenizer(bpe.learn_merges(pieces, 4)).tokens[256:]
    assert tokens[:2] == [b"es", b"est"] and tokens[2] == b"lo"


def test_pieces_of_gpt2():
    text = "I'll pay 120 ducats,  they've\n\n said: 春眠 x²!"
    expected = [
        "I",
        "'ll",
        " pay",
        " 120",
        " ducats",
        ",",
        " ",
        " they",
        "'ve",
        "\n\n",
        " said",
        ":",
        " 春眠",
        " x",
        "²",
        "!",
    ]
    assert bpe.split(text) == expected


def test_special_tokens_come_from_the_program_alone():
    plain = TRAINED.encode("a<|end|>b")
    assert max(plain) < 656 and TRAINED.decode(plain) == "a<|end|>b"
    assert TRAINED.encode("a<|end|>b", allow_special=True) == [97, 656, 98]
    assert TRAINED.encode("<|end|>>", allow_special=True) == [657]  # the longest name first
    assert BPETokenizer(TRAINED.merges, ["(", "."]).encode("(.", allow_special=True) == [656, 657]


def test_bytes_that_are_no_text():
    ids = TRAINED.encode("🙂")
    assert TRAINED.decode(ids[:1]) == "\ufffd" and TRAINED.decode_bytes(ids) == "🙂".encode()
    with pytest.raises(ValueError, match="surrogates"):
        TRAINED.encode("\ud800")


def test_unknown_characters_and_ids_are_named():
    tokenizer = CharTokenizer.of("hello")
    assert tokenizer.characters == "ehlo" and tokenizer.encode("hello") == [1, 0, 2, 2, 3]
    with pytest.raises(ValueError, match=r"'€' \(U\+20AC\) at position 3: not one of the 4 characters"):
        tokenizer.encode("hel€o")
    for each, bad in ((tokenizer, 4), (tokenizer, -1), (TRAINED, 658), (TRAINED, -1)):
        with pytest.raises(ValueError, match=f"id {bad}: expected 0.."):
            each.decode([0, bad])


@pytest.mark.parametrize("tokenizer", [TRAINED, CharTokenizer.of("春 a\n"), BPETokenizer()])
def test_a_file_brings_back_the_tokenizer(tmp_path, tokenizer):
    tokenizers.save(tokenizer, tmp_path / "t.json")
    back = tokenizers.load(tmp_path / "t.json")
    assert type(back) is type(tokenizer) and vars(back) | {"_known": 0} == vars(tokenizer) | {"_known": 0}


FOREIGN = {
    "missing": (None, "No such file"),
    "empty": ("", "Expecting value"),
    "not JSON": ("{'kind': 1}", "Expecting property name"),
    "not text": (b"\xff\xfe\x00", "codec can't decode"),
    "of another library": ('{"version": "1.0", "model": {"type": "BPE"}}', "no tokenizer of this course"),
    "a list": ("[]", "found list"),
    "unknown kind": ('{"kind": "unigram"}', "no tokenizer of this course"),
    "later id": ('{"kind": "bpe", "merges": [[97, 256]], "special": []}', "merge 0 joins 97 and 256"),
    "negative": ('{"kind": "bpe", "merges": [[-1, 5]], "special": []}', "merge 0 joins -1 and 5"),
    "not a pair": ('{"kind": "bpe", "merges": [[1, 2, 3]], "special": []}', "pairs of ids"),
    "true": ('{"kind": "bpe", "merges": [[true, 2]], "special": []}', "pairs of ids"),
    "twice": ('{"kind": "bpe", "merges": [[97, 98], [97, 98]], "special": []}', "spell the same token"),
    "special": ('{"kind": "bpe", "merges": [], "special": [3]}', "names"),
    "equal names": ('{"kind": "bpe", "merges": [], "special": ["a", "a"]}', "different names"),
    "characters": ('{"kind": "characters", "characters": "abca"}', "each once"),
    "deep": ("[" * 100_000, "recursion"),
}


@pytest.mark.parametrize("content, message", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_or_damaged_file_is_refused(tmp_path, content, message):
    path = tmp_path / "t.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"tokenizer {re.escape(str(path))}: .*{message}"):
        tokenizers.load(path)


def test_json_is_plain(tmp_path):
    tokenizers.save(BPETokenizer([(97, 98)], ["<|end|>"]), tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == {
        "kind": "bpe",
        "merges": [[97, 98]],
        "special": ["<|end|>"],
    }
