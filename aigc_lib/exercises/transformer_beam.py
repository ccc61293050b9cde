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


def score(log_probs, sequence, alpha: float) -> float:
    """Log-probability divided by the length penalty."""
    return total(log_probs, sequence) / ((5 + len(sequence)) / 6) ** alpha


def search(log_probs, k: int, longest: int) -> list[tuple]:
    """All sequences that beam search finishes."""
    kept, finished = [()], []
    for _ in range(longest):
        vocabulary = range(len(log_probs(())))
        longer = [(*prefix, t) for prefix in kept for t in vocabulary]
        longer.sort(key=lambda s: total(log_probs, s), reverse=True)
        finished += [s for s in longer[:k] if s[-1] == 0]
        kept = [s for s in longer[:k] if s[-1] != 0]
    return finished


def everything(vocabulary: int, longest: int) -> list[tuple]:
    """All sequences of up to `longest` tokens whose only 0 is the last."""
    words = range(1, vocabulary)
    inner = (itertools.product(words, repeat=n) for n in range(longest))
    return [(*tokens, 0) for tokens in itertools.chain(*inner)]


@exercise
def beam(answer):
    """answer(log_probs, k, longest, alpha) -> list of tokens that ends in 0."""
    seeds = torch.randint(10**6, (12,)).tolist()
    cases = [(3, 4, 81, 0.6), (3, 5, 3, 0.0), (4, 4, 3, 2.0), (3, 5, 4, 1.0)] * 3
    for seed, (vocabulary, longest, k, alpha) in zip(seeds, cases, strict=True):
        log_probs = language(vocabulary, seed)
        finished = search(log_probs, k, longest)
        if not finished:
            continue  # nothing ends in time
        got = call(answer, log_probs, k, longest, alpha, returns=list)
        got = tuple(int(t) for t in got)
        if not got or got[-1] != 0 or 0 in got[:-1]:
            raise Wrong(f"You returned {list(got)}: a sequence ends in its only 0.")
        if len(got) > longest:
            raise Wrong(f"{len(got)} tokens, 0 included: expected up to {longest}.")
        best = max(finished, key=lambda s: score(log_probs, s, alpha))
        if k == 81:  # wide enough for every sequence
            best = max(
                everything(vocabulary, longest),
                key=lambda s: score(log_probs, s, alpha),
            )
        _expect(got, best, log_probs, finished, alpha)
    return "With a beam wide enough, the best of all sequences was found."


def _expect(got, best, log_probs, finished, alpha) -> None:
    """Raise Wrong unless `got` scores as well as `best`."""
    if abs(score(log_probs, got, alpha) - score(log_probs, best, alpha)) < 1e-4:
        return
    if got not in finished:
        raise Wrong(
            f"{list(got)} is not among the sequences that this beam finishes: which "
            "extensions do you keep, and how many?"
        )
    if got == max(finished, key=lambda s: total(log_probs, s)):
        raise Wrong(
            "You return the likeliest sequence: divide by the penalty before comparing."
        )
    if got == finished[0]:
        raise Wrong(
            "You return the sequence that was finished first: keep k of them in each "
            "round, and go on to the last round."
        )
    if score(log_probs, got, alpha) > score(log_probs, best, alpha):
        raise Wrong(f"{list(got)} scores better than this beam can find.")
    raise Wrong(
        f"{list(got)} scores {score(log_probs, got, alpha):.3f}, and the best finished "
        f"sequence {score(log_probs, best, alpha):.3f}: check sum, penalty and its n."
    )
