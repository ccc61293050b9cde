"""Numbers in three spellings, for sequence-to-sequence tasks: 305, English, Chinese.

English words stand as in "three hundred five", without "and" and hyphens. Chinese is
that of formal numbers: 二 throughout, never 两.
"""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
HAN = "零一二三四五六七八九"
PAD, START, END = 0, 1, 2
KINDS = ("digits", "English", "Chinese")
PAIRS = [(a, b) for a in KINDS for b in KINDS if a != b]
VOCABULARY = [
    *("<pad>", "<start>", "<end>"),
    *(f"to {kind}:" for kind in KINDS),
    *"0123456789",
    *SMALL,
    *TENS,
    *("hundred", "thousand"),
    *HAN,
    *"十百千万",
]
INDEX = {token: i for i, token in enumerate(VOCABULARY)}
LIMIT = 1_000_000
TRAINED = 100_000  # numbers below have up to five digits


def spell(n: int, kind: str) -> list[str]:
    """The tokens of a number from 0 to 999,999; raises ValueError for another one.

    kind: "digits", "English" or "Chinese".
    """
    if not 0 <= n < LIMIT:
        raise ValueError(f"n={n}: expected 0 to {LIMIT - 1}")
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    if kind == "digits":
        return list(str(n))
    return _english(n) if kind == "English" else _chinese(n)


def split() -> tuple[Tensor, Tensor, Tensor]:
    """Numbers to train on, held-out ones, and held-out ones of a held-out length.

    Of the numbers below 100,000 one in ten is held out, in every spelling. The third
    part are 2,000 numbers of six digits. The same numbers at every call.
    """
    rng = torch.Generator().manual_seed(0)
    order = torch.randperm(TRAINED, generator=rng)
    longer = TRAINED + torch.randperm(LIMIT - TRAINED, generator=rng)[:2000]
    cut = TRAINED // 10
    return order[cut:].sort().values, order[:cut], longer


def balanced(numbers: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Draw `count` of the numbers so that every length is equally frequent."""
    length = torch.bucketize(numbers, 10 ** torch.arange(1, 6), right=True)
    weights = 1 / length.bincount(minlength=6)[length]
    return numbers[torch.multinomial(weights, count, replacement=True, generator=rng)]


def sources(numbers: Iterable[int], kind: str, wanted: str) -> Tensor:
    """(N, S): what the encoder reads, the wanted kind and then the spelling."""
    return pad([[f"to {wanted}:", *spell(int(n), kind)] for n in numbers])


def targets(numbers: Iterable[int], kind: str) -> Tensor:
    """(N, T): a start, the spelling, an end."""
    return pad([["<start>", *spell(int(n), kind), "<end>"] for n in numbers])


def mixed(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Sources and targets of the numbers, the six pairs of kinds in turn."""
    asked, answers = [], []
    for i, n in enumerate(numbers.tolist()):
        kind, wanted = PAIRS[i % len(PAIRS)]
        asked.append([f"to {wanted}:", *spell(n, kind)])
        answers.append(["<start>", *spell(n, wanted), "<end>"])
    return pad(asked), pad(answers)


def pad(rows: list[list[str]]) -> Tensor:
    """Rows of tokens as whole numbers, filled up with padding: (N, longest row)."""
    longest = max(map(len, rows))
    ids = [[INDEX[t] for t in row] + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(ids)


def read(ids: Tensor) -> list[str]:
    """The tokens of one row up to its end, without a start and padding."""
    tokens = []
    for i in ids.tolist():
        if i == END:
            break
        if i not in (PAD, START):
            tokens.append(VOCABULARY[i])
    return tokens


def checksum() -> str:
    """The SHA-256 of vocabulary, split and spellings, to know the task by."""
    task = hashlib.sha256(" ".join(VOCABULARY).encode())
    for part in split():
        task.update(str(part.tolist()).encode())
    for n in range(0, LIMIT, 997):
        task.update(" ".join(spell(n, "English") + spell(n, "Chinese")).encode())
    return task.hexdigest()


def _english(n: int) -> list[str]:
    if n >= 1000:
        rest = _english(n % 1000) if n % 1000 else []
        return [*_english(n // 1000), "thousand", *rest]
    if n >= 100:
        return [SMALL[n // 100], "hundred"] + (_english(n % 100) if n % 100 else [])
    if n >= 20:
        return [TENS[n // 10 - 2]] + ([SMALL[n % 10]] if n % 10 else [])
    return [SMALL[n]]


def _chinese(n: int) -> list[str]:
    if n >= 10_000:
        low = n % 10_000
        skipped = ["零"] if 0 < low < 1000 else []
        return _chinese(n // 10_000) + ["万"] + skipped + (_section(low) if low else [])
    if 10 <= n < 20:  # at the very beginning 十, not 一十
        return _section(n)[1:]
    return _section(n) or ["零"]


def _section(n: int) -> list[str]:
    """1 to 9999: a digit and its unit each, and one 零 for a gap inside."""
    tokens, gap = [], False
    for unit, size in (("千", 1000), ("百", 100), ("十", 10), ("", 1)):
        digit = n // size % 10
        if digit:
            tokens += ["零"] * (gap and bool(tokens)) + [HAN[digit], *unit]
        gap = digit == 0
    return tokens
