"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the tokenizers chapter."""

import math
from functools import cache

import torch

from aigc_lib.exercises import tokenizers as check

__all__ = ["RIGHT", "WRONG", "check"]

LOG2 = math.log(2)


def bits(code):
    return 1 if code < 128 else 2 if code < 2048 else 3 if code < 65536 else 4


def expand_by_recursion(ids, merges):
    return [b for i in ids for b in ([i] if i < 256 else expand_by_recursion(merges[i - 256], merges))]


def expand_by_rounds(ids, merges):
    while any(i > 255 for i in ids):
        ids = [j for i in ids for j in ([i] if i < 256 else merges[i - 256])]
    return ids


def expand_once(ids, merges):
    return [j for i in ids for j in ([i] if i < 256 else merges[i - 256])]


def count_by_recursion(text, tokens):
    @cache
    def ways(n):
        return 1 if n == 0 else sum(ways(n - len(t)) for t in tokens if len(t) <= n and text[:n].endswith(t))

    return ways(len(text))


def one_cut(text, tokens):
    return int(count_by_recursion(text, tokens) > 0)


def stream_by_hand(chunks):
    out, held = [], b""
    for chunk in chunks:
        held += chunk
        try:
            out.append(held.decode())
            held = b""
        except UnicodeDecodeError as error:
            out.append(held[: error.start].decode())
            held = held[error.start :]
    return out


def stream_late(chunks):
    """Prints only where all that is held is complete."""
    out, held = [], b""
    for chunk in chunks:
        held += chunk
        try:
            out.append(held.decode())
            held = b""
        except UnicodeDecodeError:
            out.append("")
    return out


def stream_loses(chunks):
    return [chunk.decode(errors="ignore") for chunk in chunks]


def groups_by_padding(text):
    padded = "x" * (-len(text) % 3) + text
    return [padded[i : i + 3].strip("x") for i in range(0, len(padded), 3)]


def empty_group(text):
    n = len(text) % 3
    return [text[:n]] + [text[i : i + 3] for i in range(n, len(text), 3)]


RIGHT = {
    "utf8_length": [
        lambda t: sum(bits(ord(c)) for c in t),
        lambda t: len(t) + sum(ord(c) > limit for c in t for limit in (127, 2047, 65535)),
    ],
    "expand": [expand_by_recursion, expand_by_rounds],
    "bits_per_byte": [
        lambda n, t, s: n / LOG2 * t / s,
        lambda n, t, s: math.log2(math.exp(n)) * t / s,
        lambda n, t, s: n * (t / s) * math.log2(math.e),
    ],
    "groups": [
        groups_by_padding,
        lambda t: [t[max(0, i - 3) : i] for i in range(len(t), 0, -3)][::-1],
    ],
    "count_cuts": [count_by_recursion],
    "meeting": [
        lambda s, b, r: 1 - (1 - s**r) ** b,
        lambda s, b, r: -torch.expm1(b * torch.log1p(-(s.double() ** r))),
    ],
    "stream": [stream_by_hand],
}

right_bits = RIGHT["bits_per_byte"][0]
met = RIGHT["meeting"][0]
WRONG = {
    "utf8_length": [
        (lambda t: len(t), "number of characters|look at the limits"),
        (lambda t: sum(1 if c.isascii() else 2 for c in t), "look at the limits"),
        (lambda t: sum(1 if c.isascii() else 3 for c in t), "look at the limits"),
        (lambda t: len(t.encode("utf-16-le")), "look at the limits|Then add them up"),
        (lambda t: bits(ord(t[0])) if t else 0, "each single character"),
        (lambda t: float(len(t.encode())), "returned float: expected int"),
    ],
    "expand": [
        (expand_once, "merged ids themselves"),
        (lambda i, m: expand_by_recursion(i, m)[::-1], "order"),
        (lambda i, m: expand_by_recursion(i, [(b, a) for a, b in m]), "order"),
        (lambda i, m: [j for j in i if j < 256], "expected"),
        (lambda i, m: bytes(expand_by_recursion(i, m)), "returned bytes: expected list"),
    ],
    "bits_per_byte": [
        (lambda n, t, s: n * t / s, "nats"),
        (lambda n, t, s: n * LOG2 * t / s, "divide by it"),
        (lambda n, t, s: n / LOG2 * s / t, "multiply by it"),
        (lambda n, t, s: n / LOG2, "bits per token"),
        (lambda n, t, s: n / LOG2 * t, "whole text"),
        (lambda n, t, s: right_bits(n, t, s) + 0.1, "off"),
    ],
    "groups": [
        (lambda t: [t[i : i + 3] for i in range(0, len(t), 3)], "from the left"),
        (lambda t: [t[max(0, i - 3) : i] for i in range(len(t), 0, -3)], "in the order"),
        (empty_group, "is empty"),
        (lambda t: f"{int(t):,}".split(","), "zeros at the front"),
        (lambda t: list(t), "only the first may be short"),
    ],
    "count_cuts": [
        (one_cut, "as if one way"),
        (lambda t, k: count_by_recursion(t, k) if t else 0, "The empty text"),
        (lambda t, k: max(1, count_by_recursion(t, k)), "cannot be cut"),
        (lambda t, k: sum(t.count(token) for token in k), "Write the cuts"),
        (lambda t, k: count_by_recursion(t, k) + (len(t) == 60), "Write the cuts"),
    ],
    "meeting": [
        (lambda s, b, r: 1 - met(s, b, r), "no band"),
        (lambda s, b, r: met(s, r, b), "exchanged"),
        (lambda s, b, r: s**r, "one given band"),
        (lambda s, b, r: b * s**r, "do not add up"),
        (lambda s, b, r: (1 - (1 - s) ** r) ** b, "one number of every band"),
        (lambda s, b, r: met(s, b, r).mean(), "shape"),
    ],
    "stream": [
        (lambda c: [chunk.decode(errors="replace") for chunk in c], "is printed"),
        (stream_loses, "lost"),
        (stream_late, "too late"),
        (lambda c: [b"".join(c).decode(errors="ignore")], "one for each|for each"),
        (lambda c: stream_by_hand([*c[:-1], c[-1] + b"\x20"]), "lost|incomplete|late|is printed"),
    ],
}
