"""Counting: Kneser-Ney against the formula in plain Python, copies by search, and the mixture of all."""

import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aigc_lib import evaluate
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.models.ngram import KneserNey, WithCounts, copies, discounts
from aigc_lib.training.shares import fit_shares

V = 5
TEXT = torch.randint(V, (400,), generator=torch.Generator().manual_seed(0)).square() % V  # some are frequent


def by_hand(ids: list[int], order: int, context: tuple, token: int) -> float:
    """p(token | context) by the recursion of the paper, over dictionaries of tuples."""
    pieces = [tuple(ids[i : i + order + 1]) for i in range(len(ids) - order)]
    counts = Counter(pieces)
    tables = {order: counts}
    for length in range(order - 1, -1, -1):
        before = defaultdict(set)
        for piece in tables[length + 1]:
            before[piece[1:]].add(piece[0])
        tables[length] = Counter({piece: len(seen) for piece, seen in before.items()})

    def p(c: tuple) -> float:
        table = tables[len(c)]
        shorter = p(c[1:]) if c else 1 / V
        d = [float(x) for x in discounts(torch.tensor(list(table.values())))]
        after = {piece[-1]: n for piece, n in table.items() if piece[:-1] == c}
        if not after:
            return shorter
        spare = sum(d[min(n, 3)] for n in after.values())
        n = after.get(token, 0)
        return ((n - d[min(n, 3)] if n else 0) + spare * shorter) / sum(after.values())

    return p(context[-order:] if order < len(context) else context)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_those_of_the_formula(order):
    model, tokens = KneserNey(TEXT, V, order), torch.randint(V, (2, 6))
    p = model(tokens).exp()
    for row, found in zip(tokens.tolist(), p, strict=True):
        for t in range(6):
            wanted = [by_hand(TEXT.tolist(), order, tuple(row[: t + 1]), y) for y in range(V)]
            torch.testing.assert_close(found[t], torch.tensor(wanted), atol=1e-5, rtol=1e-4)


def test_discounts_are_those_of_chen_and_goodman():
    counts = torch.tensor([1] * 8 + [2] * 4 + [3] * 2 + [4] + [9])
    y = 8 / (8 + 2 * 4)
    wanted = [0.1, 1 - 2 * y * 4 / 8, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2]
    torch.testing.assert_close(discounts(counts), torch.tensor(wanted))


@pytest.mark.parametrize("counts", [[1], [2, 2], [7], [1, 1, 4]])
def test_discounts_of_few_counts_are_finite_and_leave_something(counts):
    d = discounts(torch.tensor(counts))
    assert d.shape == (4,) and torch.isfinite(d).all() and (d >= 0.1).all() and (d <= 3).all()


def test_every_distribution_sums_to_one_and_nothing_is_impossible():
    model = KneserNey(TEXT, V + 1, 4)  # token 5 stands nowhere in the text
    p = model(torch.randint(V + 1, (3, 9))).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(3, 9))
    assert (p > 0).all()


def test_an_unseen_context_says_what_the_shorter_one_says():
    text = torch.tensor([0, 1, 2, 3] * 20)
    model = KneserNey(text, V, 2)
    seen = model(torch.tensor([[0, 1]]))[:, -1]
    torch.testing.assert_close(model(torch.tensor([[3, 1]]))[:, -1], model(torch.tensor([[4, 1]]))[:, -1])
    assert seen[0, 2] > math.log(0.9)
    assert model.longest(torch.tensor([[0, 1], [3, 1], [4, 4]])).tolist() == [[1, 2], [1, 1], [0, 0]]


def test_a_changed_future_token_leaves_past_predictions_alone():
    model = WithCounts(FastGPT(V, context=12, layers=1, heads=2, width=8), KneserNey(TEXT, V, 3), most=4)
    nn.init.normal_(model.network.head.weight)
    tokens = torch.randint(V, (2, 12))
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % V
    same = (model(tokens) == model(changed)).all(-1)
    assert same[:, :7].all() and not same[:, 7:].all()


def copies_by_search(row: list[int], t: int, most: int) -> tuple[list[float], int]:
    best, behind = 0, Counter()
    for j in range(t):
        n = 0
        while n < most and j - n >= 0 and row[j - n] == row[t - n]:
            n += 1
        if n > best:
            best, behind = n, Counter()
        if n and n == best:
            behind[row[j + 1]] += 1
    total = sum(behind.values()) or 1
    return [behind[y] / total for y in range(V)], best


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=25), st.integers(1, 9))
def test_copies_are_what_a_search_finds(row, most):
    p, length = copies(torch.tensor([row]), V, most)
    for t in range(len(row)):
        wanted, n = copies_by_search(row, t, most)
        assert length[0, t] == n
        torch.testing.assert_close(p[0, t], torch.tensor(wanted))


def test_no_copies_leaves_the_mixture_of_logarithms():
    model = WithCounts(FastGPT(V, context=8, layers=1, heads=2, width=8), KneserNey(TEXT, V, 2), most=0)
    tokens = torch.randint(V, (2, 8))
    with torch.no_grad():
        mixed = 0.7 * model.network(tokens).log_softmax(-1) + 0.3 * model.counts(tokens)
        torch.testing.assert_close(model(tokens).log_softmax(-1), mixed.log_softmax(-1))


def test_with_copies_the_logits_are_logarithms_of_a_mean():
    model = WithCounts(FastGPT(V, context=8, layers=1, heads=2, width=8), KneserNey(TEXT, V, 2), most=3)
    tokens = torch.tensor([[0, 1, 2, 0, 1, 4, 4, 4]])
    with torch.no_grad():
        logits = model(tokens)
        torch.testing.assert_close(logits.exp().sum(-1), torch.ones(1, 8))
        model.most = 0
        alone = model(tokens).softmax(-1)
    c = torch.sigmoid(torch.tensor(-3.0))
    torch.testing.assert_close(logits[0, 0].exp(), alone[0, 0])  # nothing stood before
    torch.testing.assert_close(logits[0, 4, 2].exp(), (1 - c) * alone[0, 4, 2] + c)


def test_fitted_shares_lower_the_loss_and_leave_the_network_alone():
    torch.manual_seed(0)
    text = torch.tensor([0, 1, 2, 0, 3, 4] * 100)
    model = WithCounts(FastGPT(V, context=12, layers=1, heads=2, width=8), KneserNey(text[:300], V, 3))
    before = evaluate.text_loss(model, text[300:], 12)["loss"]
    weights = [p.clone() for p in model.network.parameters()]
    found = fit_shares(model, text[300:])
    assert found < before - 0.01
    assert found == pytest.approx(evaluate.text_loss(model, text[300:], 12)["loss"], abs=1e-4)
    for p, old in zip(model.network.parameters(), weights, strict=True):
        assert torch.equal(p, old) and p.grad is None


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"order 0: expected at least 1"):
        KneserNey(TEXT, V, 0)
    with pytest.raises(ValueError, match=r"order 12: .*100 tokens.*2\^63"):
        KneserNey(TEXT, 100, 12)
    with pytest.raises(ValueError, match=r"shape \(2,\).*more than 3"):
        KneserNey(TEXT[:2], V, 3)
    with pytest.raises(ValueError, match=r"shape \(1, 400\): expected \(N,\)"):
        KneserNey(TEXT[None], V, 3)
    with pytest.raises(ValueError, match="tokens from 0 to 2: expected 0 to 1"):
        KneserNey(torch.tensor([0, 1, 2, 2, 1]), 2, 1)
    counts = KneserNey(TEXT, V, 3)
    for ask in (counts, counts.longest):
        with pytest.raises(ValueError, match="tokens from 1 to 5: expected 0 to 4"):
            ask(torch.tensor([[1, 5]]))
        with pytest.raises(ValueError, match="tokens from -1 to 2: expected 0 to 4"):
            ask(torch.tensor([[2, -1]]))
        with pytest.raises(ValueError, match=r"shape \(3,\): expected \(B, T\)"):
            ask(torch.tensor([1, 2, 3]))
    model = WithCounts(FastGPT(V, context=12, layers=1, heads=2, width=8), counts)
    with pytest.raises(ValueError, match="12 tokens: expected more than 12"):
        fit_shares(model, TEXT[:12])
