"""The small BERT, its gaps, and the meter of masked language models."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aigc_lib import data, evaluate, recipes
from aigc_lib.models.bert import Bert

V, MASK = 20, 20


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small():
    """A model whose weights are all in use."""
    model = Bert(V, longest=9, width=16, heads=2, layers=2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def tokens(*shape):
    return torch.randint(3, V, shape)


def test_gaps_are_those_of_the_paper():
    rows = torch.randint(V, (400, 500))
    gaps, chosen = data.hide(rows, V, torch.Generator().manual_seed(0))
    assert torch.equal(gaps[~chosen], rows[~chosen]) and not chosen[rows < 3].any()
    share = chosen[rows >= 3].float().mean().item()
    hidden = (gaps[chosen] == MASK).float().mean().item()
    stay = (gaps[chosen] == rows[chosen]).float().mean().item()
    assert share == pytest.approx(0.15, abs=0.005) and hidden == pytest.approx(0.8, abs=0.01)
    assert stay == pytest.approx(0.1 + 0.1 / (V - 3), abs=0.01)  # a random token may be the same one
    others = gaps[chosen & (gaps != MASK) & (gaps != rows)]
    assert others.min() == 3 and others.max() == V - 1
    assert torch.equal(gaps, data.hide(rows, V, torch.Generator().manual_seed(0))[0])
    assert data.hide(rows, V, torch.Generator(), share=1.0)[1].sum() == (rows >= 3).sum()


def test_a_vocabulary_that_does_not_fit_is_named():
    for vocabulary, first in ((9, 3), (10, 10)):
        with pytest.raises(ValueError, match=f"vocabulary {vocabulary}, tokens up to 9: expected more than {first}"):
            data.hide(torch.arange(10), vocabulary, torch.Generator(), first=first)


def test_shapes_and_finite_gradients_for_every_parameter():
    model, rows = small(), tokens(3, 9)
    gaps, chosen = data.hide(rows, V, torch.Generator().manual_seed(1), share=0.5)
    logits = model(gaps, chosen)
    assert logits.shape == (int(chosen.sum()), V)
    F.cross_entropy(logits, rows[chosen]).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
        assert "key.bias" in name or (p.grad != 0).any(), name  # that one adds the same to all scores of a query


def test_an_untrained_one_knows_nothing():
    rows = tokens(50, 9)
    logits = Bert(V, longest=9)(rows, torch.ones_like(rows, dtype=torch.bool))
    assert F.cross_entropy(logits, rows.flatten()).item() == pytest.approx(math.log(V), rel=0.03)


def test_logits_stand_in_the_order_of_the_places():
    model, rows = small(), tokens(3, 9)
    whole = model(rows, torch.ones_like(rows, dtype=torch.bool)).view(3, 9, V)
    asked = torch.rand(3, 9) < 0.4
    torch.testing.assert_close(model(rows, asked), whole[asked])


def test_every_other_token_and_its_place_reach_a_gap():
    """From both sides: this is no causal model."""
    model, rows = small(), tokens(1, 9)
    rows[0, 4] = MASK
    asked = rows == MASK
    before = model(rows, asked)
    for t in range(9):
        if t != 4:
            changed = rows.clone()
            changed[0, t] = (rows[0, t] - 2) % (V - 3) + 3
            assert ((model(changed, asked) - before).abs() > 1e-6).any(), t
    assert not torch.allclose(model(rows.flip(1), asked), before, atol=1e-5)


def test_padding_is_never_read():
    model, rows = small(), tokens(2, 6)
    asked = torch.zeros_like(rows, dtype=torch.bool)
    asked[:, 2] = True
    padded = model(F.pad(rows, (0, 3)), F.pad(asked, (0, 3)))
    torch.testing.assert_close(padded, model(rows, asked))


def test_overfits_one_batch():
    model, rows = Bert(V, longest=9, width=32), tokens(4, 9)
    gaps, chosen = data.hide(rows, V, torch.Generator().manual_seed(2), share=0.3)
    adam = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        loss = F.cross_entropy(model(gaps, chosen), rows[chosen])
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.05


class Fixed(nn.Module):
    """Always the same probabilities; remembers what was asked."""

    mask = MASK

    def __init__(self, p):
        super().__init__()
        self.log_p, self.asked, self.read = nn.Parameter(p.log()), [], []

    def forward(self, tokens, asked):
        self.asked.append(asked)
        self.read.append(tokens)
        return self.log_p.expand(int(asked.sum()), -1)


def test_each_token_is_hidden_once_and_the_loss_is_that_of_a_fixed_guess():
    p = torch.rand(V).softmax(0)
    rows = torch.randint(V, (10, 23))
    model = Fixed(p)
    found = evaluate.masked_loss(model, rows, batch_size=10)
    words = rows[rows > 2]
    assert found["n"] == len(words) and found["loss"] == pytest.approx(-p[words].log().mean().item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((words == p.argmax()).float().mean().item())
    assert torch.equal(torch.stack(model.asked).sum(0), (rows > 2).long())
    for asked, read in zip(model.asked, model.read, strict=True):
        assert (read[asked] == MASK).all() and torch.equal(read[~asked], rows[~asked])
        assert (asked.sum(1) <= 4).all()  # every seventh of 23
    parts = evaluate.masked_loss(Fixed(p), rows, batch_size=3)
    assert parts == pytest.approx(found)


def test_the_poems_are_those_of_the_poet_and_gaps_spare_padding_and_marks():
    poems, poet = recipes.recipe("mlm_tang").load_data(), recipes.recipe("gpt_tang").load_data()
    assert poems.characters == poet.characters and poems.characters[:3] == "\n，。"
    for ours, theirs in zip((*poems.training, *poems.held_out), (*poet.training, *poet.held_out), strict=True):
        assert ours.shape[1] == 32 and len(ours) == len(theirs)
        assert torch.equal(ours[7], theirs[7, 1:33]) and (theirs[:, 33] == 0).all()
        lengths = (ours != 0).sum(1)
        assert set(lengths.tolist()) == {24, 32}
        assert ((ours == 1).sum(1) == 2).all() and ((ours == 2).sum(1) == 2).all()
    texts = [{tuple(row) for row in part[0].tolist()} for part in (poems.training, poems.held_out)]
    assert not texts[0] & texts[1]


def test_the_shipped_one_is_better_than_counting():
    poems = recipes.recipe("mlm_tang").load_data()
    counts = poems.training[0].flatten().bincount(minlength=2500) + 0.01
    counts[:3] = 0
    (held_out,) = poems.held_out
    words = held_out[held_out > 2]
    unigram = -(counts / counts.sum())[words].log().mean().item()
    said = recipes.card("mlm_tang")["metrics"]
    assert said["masked_loss"] < unigram - 0.5
    assert said["masked_accuracy"] > 3 * (words == counts.argmax()).float().mean().item()
