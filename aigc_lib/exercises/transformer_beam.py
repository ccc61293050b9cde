"""The check of beam search: beside a search of our own, and beside all sequences."""

import itertools
from functools import cache

import torch
from torch import Tensor

from aigc_lib.exercises.verdict import Wrong, call, exercise


def language(vocabulary: int, seed: int):
    """A random log_probs(prefix), the same for the same prefix."""

    @cache
    def log_probs(prefix: tuple) -> Tensor:
        rng = torch.Generator().manual_seed(hash((seed, *prefix)) % 2**31)
        return (1.5 * torch.randn(vocabulary, generator=rng)).log_softmax(-1)

    return lambda prefix: log_probs(tuple(int(t) for t in prefix))


def total(log_probs, sequence) -> float:
    """The log-probability of a whole sequence."""
    steps = (log_probs(sequence[:i])[t] for i, t in enumerate(sequence))
    return sum(float(step) for step in steps)


def penalty(sequence, alpha: float) -> float:
    """What log-probabilities are divided by (Wu et al. 2016, eq. 14)."""
    return ((5 + len(sequence)) / 6) ** alpha


def search(log_probs, k: int, longest: int, room: bool = True) -> dict[tuple, float]:
    """All sequences that beam search finishes, with their log-probabilities.

    room: whether a finished one takes one of the k places of its round.
    """
    kept, finished = {(): 0.0}, {}
    for _ in range(longest):
        longer = {
            (*prefix, t): before + step
            for prefix, before in kept.items()
            for t, step in enumerate(log_probs(prefix).tolist())
        }
        if room:
            longer = _top(longer, k)
        finished |= {s: p for s, p in longer.items() if s[-1] == 0}
        kept = _top({s: p for s, p in longer.items() if s[-1] != 0}, k)
    return finished


def _top(sequences: dict[tuple, float], k: int) -> dict[tuple, float]:
    order = sorted(sequences, key=sequences.get, reverse=True)
    return {s: sequences[s] for s in order[:k]}


def _best(finished: dict[tuple, float], alpha: float) -> tuple:
    return max(finished, key=lambda s: finished[s] / penalty(s, alpha))


def everything(vocabulary: int, longest: int) -> list[tuple]:
    """All sequences of up to `longest` tokens whose only 0 is the last."""
    words = range(1, vocabulary)
    inner = (itertools.product(words, repeat=n) for n in range(longest))
    return [(*tokens, 0) for tokens in itertools.chain(*inner)]


@exercise
def beam(answer):
    """answer(log_probs, k, longest, alpha) -> list of tokens that ends in 0."""
    cases = [(3, 4, 81, 1.0), (3, 5, 3, 0.0), (4, 4, 3, 2.0), (3, 5, 4, 1.0)] * 2
    for case in cases:
        log_probs, finished = _telling(*case)
        vocabulary, longest, k, alpha = case
        got = call(answer, log_probs, k, longest, alpha, returns=list)
        got = tuple(int(t) for t in got)
        if not got or got[-1] != 0 or 0 in got[:-1]:
            raise Wrong(f"You returned {list(got)}: a sequence ends in its only 0.")
        if len(got) > longest:
            raise Wrong(f"{len(got)} tokens, 0 included: expected up to {longest}.")
        if k == 81:  # wide enough for every sequence
            sequences = everything(vocabulary, longest)
            finished = {s: total(log_probs, s) for s in sequences}
        _expect(got, finished, alpha)
    return "With a beam wide enough, the best of all sequences was found."


def _telling(vocabulary: int, longest: int, k: int, alpha: float):
    """A language in which a usual slip gives another answer; what the beam finishes."""
    while True:
        log_probs = language(vocabulary, int(torch.randint(10**6, ())))
        finished = search(log_probs, k, longest)
        if not finished:
            continue
        best = _best(finished, alpha)
        if alpha == 0:  # finished ones take a place, and the search goes on to its end
            roomy = search(log_probs, k, longest, room=False)
            tells = best not in (_best(roomy, alpha), next(iter(finished)))
        else:
            tells = best != _best(finished, 0.0)
        if tells:
            return log_probs, finished


def _expect(got: tuple, finished: dict[tuple, float], alpha: float) -> None:
    """Raise Wrong unless `got` is the best of the finished ones, or as good."""
    best = _best(finished, alpha)
    if got not in finished:
        raise Wrong(
            f"{list(got)} is not among the sequences that this beam finishes: in each "
            "round the k best extensions are taken, those that end in 0 included."
        )
    scores = [finished[s] / penalty(s, alpha) for s in (got, best)]
    if scores[1] - scores[0] < 1e-4:
        return
    if got == _best(finished, 0.0):
        raise Wrong(
            "You return the likeliest sequence: divide by the penalty before comparing."
        )
    raise Wrong(
        f"{list(got)} scores {scores[0]:.3f}, and the best finished sequence "
        f"{scores[1]:.3f}: look at the sum, the penalty, and when you stop."
    )
