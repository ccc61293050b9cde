"""The Transformer, the spelled numbers it is tried on, and the meter of exact match."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aigc_lib.data import numbers as task
from aigc_lib.evaluate.spelling import exact_match, written
from aigc_lib.models.transformer import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    FeedForward,
    Transformer,
    real,
)

SIZES = {"width": 16, "heads": 2, "layers": 2, "hidden": 24, "dropout": 0.0}
FORMS = [(pre, kind) for pre in (True, False) for kind in ("relu", "gelu", "swiglu")]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def tokens(*shape):
    return torch.randint(1, 20, shape)


@pytest.mark.parametrize("pre_norm, kind", FORMS)
def test_shapes_and_finite_gradients(pre_norm, kind):
    model = Transformer(20, **SIZES, pre_norm=pre_norm, kind=kind)
    source, target = tokens(3, 7), tokens(3, 5)
    logits, weights = model.decode(target, model.encode(source), real(source))
    assert logits.shape == (3, 5, 20) and weights.shape == (3, 2, 2, 5, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 2, 5))
    torch.testing.assert_close(model(source, target), logits)
    F.cross_entropy(logits.flatten(0, 1), target.flatten()).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    # A bias of the keys adds the same number to all scores of a query: no effect.
    assert all("key.bias" in name or (g != 0).any() for name, g in grads.items())


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_changed_future_target_leaves_past_logits_alone(pre_norm):
    model, source, target = Transformer(20, **SIZES, pre_norm=pre_norm), tokens(2, 6), tokens(2, 5)
    before = model(source, target)
    for t in range(1, 5):
        changed = target.clone()
        changed[:, t:] = target[:, t:] % 19 + 1
        after = model(source, changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=0, atol=0)
        assert not torch.allclose(after[:, t:], before[:, t:])


def test_every_source_token_reaches_every_logit():
    model, source, target = Transformer(20, **SIZES), tokens(1, 6), tokens(1, 4)
    before = model(source, target)
    for s in range(6):
        changed = source.clone()
        changed[0, s] = source[0, s] % 19 + 1
        assert ((model(changed, target) - before).abs().amax(-1) > 1e-5).all()


def test_padding_is_never_read():
    model, source, target = Transformer(20, **SIZES), tokens(2, 4), tokens(2, 3)
    padded = F.pad(source, (0, 3))
    torch.testing.assert_close(model(padded, target), model(source, target))


def test_the_order_of_the_source_matters():
    model, source, target = Transformer(20, **SIZES), torch.tensor([[3, 4, 5]]), tokens(1, 3)
    assert not torch.allclose(model(source, target), model(source.flip(1), target), atol=1e-4)


def test_layers_written_out():
    """Both arrangements by hand, with the parts of the layer."""
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 6, 16)
    for pre_norm in (True, False):
        layer = EncoderLayer(16, 2, 24, 0.0, pre_norm)
        a, b = layer.norms
        if pre_norm:
            h = x + layer.attention(a(x))
            expected = h + layer.feed_forward(b(h))
        else:
            h = a(x + layer.attention(x))
            expected = b(h + layer.feed_forward(h))
        torch.testing.assert_close(layer(x), expected)
        out = Encoder([layer])(x)
        torch.testing.assert_close(out.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
        out, weights = Decoder([DecoderLayer(16, 2, 24, 0.0, pre_norm)])(x, memory)
        assert weights.shape == (2, 1, 2, 5, 6)
        torch.testing.assert_close(out.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)


def test_feed_forward_kinds():
    x = torch.randn(2, 3, 8)
    for kind, bend in (("relu", F.relu), ("gelu", F.gelu)):
        net = FeedForward(8, 12, kind)
        torch.testing.assert_close(net(x), net.down(bend(net.up(x))))
    net = FeedForward(8, 12, "swiglu")
    torch.testing.assert_close(net(x), net.down(F.silu(net.up(x)) * net.gate(x)))
    with pytest.raises(ValueError, match="kind='tanh': expected one of relu, gelu, swiglu"):
        FeedForward(8, 12, "tanh")


def test_dropout_works_in_training_alone():
    model, source, target = Transformer(20, 16, 2, 1, dropout=0.5), tokens(2, 4), tokens(2, 3)
    assert not torch.allclose(model(source, target), model(source, target))
    model.eval()
    torch.testing.assert_close(model(source, target), model(source, target))


def test_overfits_one_batch_and_greedy_writes_it():
    numbers = torch.tensor([0, 12, 305, 4070, 98_765])
    model = Transformer(len(task.VOCABULARY), 32, 2, 1, dropout=0.0)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    source, target = task.sources(numbers, "digits", "Chinese"), task.targets(numbers, "Chinese")
    assert exact_match(model, numbers, "digits", "Chinese") == 0
    for _ in range(80):
        logits = model(source, target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=0)
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert exact_match(model, numbers, "digits", "Chinese") == 1
    assert written(model, numbers[2:3], "digits", "Chinese") == ["三 百 零 五"]
    out = model.greedy(source, task.START, task.END, longest=12)
    for row in out:  # nothing but padding after the end
        end = (row == task.END).nonzero()[0]
        assert (row[end + 1 :] == task.PAD).all()


def test_greedy_takes_the_likeliest_token_each_time_and_stops():
    model, source = Transformer(20, **SIZES), tokens(3, 5)
    out = model.greedy(source, start=1, end=-1, longest=6)  # no token ends it
    assert out.shape == (3, 6)
    target = F.pad(out[:, :-1], (1, 0), value=1)
    assert torch.equal(model(source, target).argmax(-1), out)


@pytest.mark.parametrize(
    "n, english, chinese",
    [
        (0, "zero", "零"),
        (10, "ten", "十"),
        (15, "fifteen", "十五"),
        (40, "forty", "四十"),
        (100, "one hundred", "一百"),
        (110, "one hundred ten", "一百一十"),
        (305, "three hundred five", "三百零五"),
        (1005, "one thousand five", "一千零五"),
        (1050, "one thousand fifty", "一千零五十"),
        (2200, "two thousand two hundred", "二千二百"),
        (10_010, "ten thousand ten", "一万零一十"),
        (10_500, "ten thousand five hundred", "一万零五百"),
        (20_003, "twenty thousand three", "二万零三"),
        (54_321, "fifty four thousand three hundred twenty one", "五万四千三百二十一"),
        (120_000, "one hundred twenty thousand", "十二万"),
        (300_030, "three hundred thousand thirty", "三十万零三十"),
        (999_999, "nine hundred ninety nine thousand nine hundred ninety nine", "九十九万九千九百九十九"),
    ],
)
def test_spellings_by_hand(n, english, chinese):
    assert task.spell(n, "English") == english.split()
    assert task.spell(n, "Chinese") == list(chinese)
    assert task.spell(n, "digits") == list(str(n))


def test_spellings_are_read_back():
    """Independent readers: what a spelling says is the number."""
    values = {w: i for i, w in enumerate(task.SMALL)} | {w: 10 * i for i, w in enumerate(task.TENS, 2)}

    def from_english(words):
        total = part = 0
        for word in words:
            if word == "thousand":
                total, part = 1000 * part, 0
            else:
                part = part * 100 if word == "hundred" else part + values[word]
        return total + part

    def from_chinese(signs):
        total = part = digit = 0
        for sign in signs:
            if sign in task.HAN:
                digit = task.HAN.index(sign)
            elif sign == "万":
                total, part, digit = 10_000 * (part + digit), 0, 0
            else:
                part += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[sign]
                digit = 0
        return total + part + digit

    some = [*range(1200), *range(9_900, 10_300), *range(1200, task.LIMIT, 613)]
    assert all(from_english(task.spell(n, "English")) == n for n in some)
    assert all(from_chinese(task.spell(n, "Chinese")) == n for n in some)
    for kind in ("English", "Chinese"):
        assert len({tuple(task.spell(n, kind)) for n in some}) == len(set(some))


def test_split_holds_out_numbers_and_a_length():
    training, held_out, longer = (set(part.tolist()) for part in task.split())
    assert not training & held_out and training | held_out == set(range(task.TRAINED))
    assert len(held_out) == 10_000 and len(longer) == 2000 and min(longer) >= 100_000
    assert all(torch.equal(a, b) for a, b in zip(task.split(), task.split(), strict=True))


def test_every_length_is_drawn_equally_often():
    drawn = task.balanced(task.split()[0], 5000, torch.Generator().manual_seed(0))
    share = torch.tensor([len(str(n)) for n in drawn.tolist()]).bincount(minlength=6)[1:] / 5000
    assert (share - 0.2).abs().max() < 0.03


def test_rows_and_back():
    source, target = task.sources([305, 7], "digits", "English"), task.targets([305, 7], "English")
    assert [task.VOCABULARY[i] for i in source[1]] == ["to English:", "7", "<pad>", "<pad>"]
    assert [task.VOCABULARY[i] for i in target[1]] == ["<start>", "seven", "<end>", "<pad>", "<pad>"]
    assert task.read(target[0]) == ["three", "hundred", "five"]
    assert len(set(task.VOCABULARY)) == len(task.VOCABULARY) and task.VOCABULARY[task.PAD] == "<pad>"
    asked, answers = task.mixed(torch.arange(12))
    assert asked.shape[0] == answers.shape[0] == 12
    assert len({task.VOCABULARY[i] for i in asked[:, 0]}) == 3
    assert len(task.checksum()) == 64


@pytest.mark.parametrize(
    "n, kind, match", [(-1, "digits", "n=-1"), (10**6, "English", "999999"), (5, "latin", "latin")]
)
def test_bad_numbers_are_named(n, kind, match):
    with pytest.raises(ValueError, match=match):
        task.spell(n, kind)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="width=10, heads=3"):
        Transformer(20, width=10, heads=3)
    with pytest.raises(TypeError):
        Transformer(20, norm_first=True)
    assert isinstance(Encoder([EncoderLayer(8, 2, 8, pre_norm=False)]).norm, nn.Identity)
