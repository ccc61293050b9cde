"""The steps of byte-pair encoding: cut text into pieces, learn merges, apply them."""

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

Pair = tuple[int, int]


def split(text: str) -> list[str]:
    """Cut text into the pieces of GPT-2: "".join(split(text)) == text.

    A piece is an English ending such as 's, or a run of letters, of digits or of other
    characters, each with the space before it; or white space.
    """
    return _pattern().findall(text)


@cache
def _pattern() -> re.Pattern:
    """GPT-2's pattern. Python's `re` has no \\p{L}: the classes are spelled out."""
    L, N = _category("L"), _category("N")
    S = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    return re.compile(
        rf"'(?:[stmd]|re|ve|ll)| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+"
        rf"|[{S}]+(?![^{S}])|[{S}]+"
    )


def _category(initial: str) -> str:
    """The characters whose Unicode category starts with `initial`, as `re` ranges."""
    codes = [c for c in range(sys.maxunicode + 1) if _is(chr(c), initial)]
    runs = groupby(enumerate(codes), key=lambda pair: pair[1] - pair[0])
    ranges = [[code for _, code in run] for _, run in runs]
    return "".join(f"\\U{run[0]:08x}-\\U{run[-1]:08x}" for run in ranges)


def _is(character: str, initial: str) -> bool:
    return unicodedata.category(character)[0] == initial


def merge(ids: list[int], pair: Pair, new: int) -> list[int]:
    """Replace each occurrence of `pair`, from the left, by `new`."""
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def merge_all(ids: list[int], rank: dict[Pair, int]) -> list[int]:
    """Apply to one piece the merge that was learned first, until none applies."""
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: rank.get(pair, len(rank)))
        if pair not in rank:
            break
        ids = merge(ids, pair, 256 + rank[pair])
    return ids


def learn_merges(pieces: Counter[bytes], merges: int) -> list[Pair]:
    """Join the most frequent pair of neighbours, `merges` times.

    pieces: how often each piece of the text occurs. Of pairs that are equally frequent
    the one with the smaller ids wins. A pair that would spell a token which exists
    already is passed over.
    """
    words = [list(piece) for piece in pieces]
    weight = list(pieces.values())
    count, where = Counter(), defaultdict(set)
    for w, word in enumerate(words):
        for pair in pairwise(word):
            count[pair] += weight[w]
            where[pair].add(w)
    heap = [(-n, pair) for pair, n in count.items()]  # the most frequent on top
    heapify(heap)
    learned, tokens = [], [bytes([i]) for i in range(256)]
    spelled = set(tokens)
    while heap and len(learned) < merges:
        n, pair = heappop(heap)
        joined = tokens[pair[0]] + tokens[pair[1]]
        if -n != count[pair] or joined in spelled:
            continue  # an old count, or a token that exists
        if -n < 2:
            break
        learned.append(pair)
        tokens.append(joined)
        spelled.add(joined)
        changed = Counter()
        for w in where.pop(pair):  # only these words change
            before, words[w] = words[w], merge(words[w], pair, len(tokens) - 1)
            for old in pairwise(before):
                changed[old] -= weight[w]
            for new in pairwise(words[w]):
                changed[new] += weight[w]
                where[new].add(w)
        for other, by in changed.items():
            if by:
                count[other] += by
                heappush(heap, (-count[other], other))
    return learned
