"""Checks for the exercises of the tokenizers chapter."""

import math
import random

import torch

from aigc_lib.data.tokenizers import BPETokenizer
from aigc_lib.exercises.verdict import Wrong, call, exercise, expect_shape, same

__all__ = [
    "utf8_length",
    "expand",
    "bits_per_byte",
    "groups",
    "count_cuts",
    "meeting",
    "stream",
]

LETTERS = "abc é€ñß春眠不觉晓🙂𠮷\x7f\x80\u07ff\u0800\uffff\U00010000"


def _rng() -> random.Random:
    """Follows torch's random numbers, which the reader may have seeded."""
    return random.Random(int(torch.randint(2**31, ())))


@exercise
def utf8_length(answer):
    """answer(text) -> int, the number of bytes of `text` in UTF-8."""
    rng = _rng()
    texts = ["", "abc", *LETTERS, *("".join(rng.choices(LETTERS, k=9)) for _ in "123")]
    for text in texts:
        got = call(answer, text, returns=int)
        if got == len(text.encode()):
            continue
        where = f"For {text!r} you return {got}"
        if got == len(text) != 1:
            raise Wrong(f"{where}: that is the number of characters.")
        if len(text) == 1:
            code = f"U+{ord(text):04X}"
            raise Wrong(
                f"{where}, and it is one character, {code}: look at the limits."
            )
        raise Wrong(f"{where}: is each single character of it right? Then add them up.")
    return "One to four bytes, and ASCII stays as it was."


@exercise
def expand(answer):
    """answer(ids, merges) -> the bytes that ids stand for, as a list of int."""
    rng = _rng()
    for size in (0, 3, 12):
        merges = []
        for i in range(size):
            limit = 256 + i
            last = limit - 1 if i else 97  # merges of merges of merges
            merges.append((last, rng.randrange(limit)))
        ids = [rng.randrange(256 + size) for _ in range(6)] + [255 + size, 65]
        got = call(answer, ids, merges, returns=list)
        right = list(BPETokenizer(dict.fromkeys(merges)).decode_bytes(ids))
        if got == right:
            continue
        if any(type(i) is not int or not 0 <= i < 256 for i in got):
            raise Wrong(
                "Your result has entries that are no bytes: the two ids of a merge "
                "may be merged ids themselves."
            )
        if sorted(got) == sorted(right):
            raise Wrong("The bytes are right, and their order is not.")
        raise Wrong(
            f"For the ids {ids} you return {len(got)} bytes: expected {len(right)}, "
            f"the bytes of merges[i] for the id 256 + i."
        )
    return "That is what decoding does, without a table."


@exercise
def bits_per_byte(answer):
    """answer(nats_per_token, tokens, size) -> float."""
    rng = _rng()
    for _ in range(4):
        nats, tokens = rng.uniform(0.5, 8), rng.randrange(10, 1000)
        size = rng.randrange(tokens + 1, 5 * tokens)
        got = call(answer, nats, tokens, size, returns=float)
        hints = {
            nats * tokens / size: "These are nats: a bit is log 2 of them.",
            nats * math.log(2) * tokens / size: "You multiply by log 2: divide by it.",
            nats / math.log(2) * size / tokens: "You divide by the number of tokens "
            "per byte: multiply by it.",
            nats / math.log(2): "These are bits per token.",
            nats * tokens / math.log(2): "These are the bits of the whole text.",
        }
        for value, hint in hints.items():
            if math.isclose(got, value, rel_tol=1e-6):
                raise Wrong(hint)
        if not math.isclose(got, nats / math.log(2) * tokens / size, rel_tol=1e-6):
            raise Wrong(
                "The value is off. First the bits of the whole text, then one byte."
            )
    return "A number that any two models of a text can be compared by."


@exercise
def groups(answer):
    """answer(digits) -> the groups of three, counted from the right, as str."""
    rng = _rng()
    sizes = [1, 2, 3, 4, 5, 6, 7, 9, 10]
    for text in [
        "1000000",
        "007",
        *("".join(rng.choices("0123456789", k=k)) for k in sizes),
    ]:
        got = call(answer, text, returns=list)
        n = len(text)
        right = [text[max(0, i - 3) : i] for i in range(n, 0, -3)][::-1]
        if got == right:
            continue
        if "" in got:
            raise Wrong(f"For {text!r} one of your groups is empty.")
        if "".join(map(str, got)) == text.lstrip("0") != text:
            raise Wrong("The zeros at the front are gone: it is text, not a number.")
        if got == right[::-1]:
            raise Wrong("The groups are right: put them in the order of the text.")
        if got == [text[i : i + 3] for i in range(0, n, 3)]:
            raise Wrong(f"For {text!r} you count from the left.")
        raise Wrong(f"For {text!r} you return {got}: only the first may be short.")
    return "Units meet units, and thousands meet thousands."


@exercise
def count_cuts(answer):
    """answer(text, tokens) -> int, the number of ways to cut text into tokens."""
    cases = [
        ("aa", {"a", "aa"}, 2),
        ("aaaaa", {"a", "aa"}, 8),
        ("abab", {"ab", "a", "b", "abab", "ba"}, 6),
        ("abc", {"ab"}, 0),
        ("", {"a"}, 1),
        ("春眠不觉晓", {"春", "眠", "春眠", "不", "觉", "晓", "觉晓"}, 4),
        ("a" * 60, {"a", "aa"}, 2504730781961),
    ]
    for text, tokens, right in cases:
        got = call(answer, text, tokens, returns=int)
        if got == right:
            continue
        if not text:
            raise Wrong("The empty text has one cut: no token at all.")
        if right == 0:
            raise Wrong(f"{text!r} cannot be cut into {sorted(tokens)}: expected 0.")
        if got == 1:
            raise Wrong(f"For {text!r} you return 1, as if one way were enough.")
        raise Wrong(
            f"For {text!r} and the tokens {sorted(tokens)} you return {got}. "
            f"Write the cuts of the first n characters down for n = 0, 1, 2."
        )
    return "A sum over the last token: the same walk as the Viterbi algorithm's."


@exercise
def meeting(answer):
    """answer(s, bands, rows): (N,) -> (N,), the chance to agree in a whole band."""
    for n, bands, rows in ((5, 16, 4), (3, 4, 16), (6, 7, 1), (4, 1, 5)):
        s = torch.rand(n) * 0.8 + 0.1
        got = call(answer, s, bands, rows)
        expect_shape(got, (n,), "one probability for each similarity")
        right = 1 - (1 - s**rows) ** bands
        if same(got, right):
            continue
        if same(got, 1 - right):
            raise Wrong("That is the probability that they agree in no band.")
        if same(got, 1 - (1 - s**bands) ** rows):
            raise Wrong("Bands and rows are exchanged.")
        if same(got, s**rows):
            raise Wrong("That is the probability for one given band.")
        if same(got, bands * s**rows):
            raise Wrong("Chances of several bands do not add up: this can exceed 1.")
        if same(got, (1 - (1 - s) ** rows) ** bands):
            raise Wrong("You ask for one number of every band: all of one band.")
        raise Wrong("The value is off. Start with all numbers of one band: s ** rows.")
    return "Many short bands find more, and compare more."


@exercise
def stream(answer):
    """answer(chunks) -> the texts to print after each chunk of bytes."""
    rng = _rng()
    for text in ["plain", "春眠🙂é", "".join(rng.choices(LETTERS, k=12)), "觉x"]:
        whole = text.encode()
        cuts = sorted(rng.sample(range(1, len(whole)), min(len(whole) - 1, 8)))
        chunks = [
            whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        ]
        right, done = [], 0
        for i in range(len(chunks)):
            sofar = b"".join(chunks[: i + 1]).decode(errors="ignore")
            right.append(sofar[done:])
            done = len(sofar)
        got = call(answer, chunks, returns=list)
        if len(got) != len(chunks):
            raise Wrong(
                f"For {len(chunks)} chunks you return {len(got)} texts: expected one "
                f"for each, and the empty text where nothing is complete."
            )
        if got == right:
            continue
        joined = "".join(map(str, got))
        if "�" in joined:
            raise Wrong(
                "A � is printed: some character was cut before it was complete."
            )
        if joined == text:
            raise Wrong("All is printed, and some of it too late: expected it at once.")
        raise Wrong(
            "Characters are lost: keep the bytes that are open for the next one."
        )
    cut = "春".encode()[:2]
    if call(answer, [b"a", cut], returns=list) != ["a", ""]:
        raise Wrong("At the end an incomplete character stands: leave it out.")
    return "Nothing is printed before it is complete."
