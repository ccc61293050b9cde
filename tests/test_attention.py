"""Attention and positions: laws, hand-made cases, finite gradients, bad input."""

import pytest
import torch
from torch import nn

from aigc_lib.nn.attention import MultiHeadAttention, attention, causal_mask, padding_mask
from aigc_lib.nn.embeddings import alibi_bias, rotate, sinusoidal


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def qkv(T=5, S=7, B=2, nh=3, hs=4):
    return torch.randn(B, nh, T, hs), torch.randn(B, nh, S, hs), torch.randn(B, nh, S, hs)


def test_attention_is_the_weighted_mean_written_as_loops():
    q, k, v = qkv()
    out, weights = attention(q, k, v)
    for b, h, t in [(0, 0, 0), (1, 2, 4)]:
        score = [sum(q[b, h, t] * k[b, h, s]) / 4**0.5 for s in range(7)]
        w = [torch.exp(s) / sum(map(torch.exp, score)) for s in score]
        torch.testing.assert_close(weights[b, h, t], torch.stack(w))
        torch.testing.assert_close(out[b, h, t], sum(w[s] * v[b, h, s] for s in range(7)))


def test_values_may_have_another_size_and_weights_sum_to_one():
    q, k, v = qkv()
    out, weights = attention(q, k, v[..., :1])
    assert out.shape == (2, 3, 5, 1) and weights.shape == (2, 3, 5, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))


def test_a_bias_is_added_to_the_scores():
    q, k, v = qkv()
    far = torch.zeros(5, 7)
    far[:, 3] = 1000.0
    torch.testing.assert_close(attention(q, k, v, bias=far)[0], v[:, :, 3:4].expand(2, 3, 5, 4))


@pytest.mark.parametrize("T", [1, 6])
def test_a_changed_future_place_leaves_the_past_alone(T):
    layer, x = MultiHeadAttention(8, 2), torch.randn(2, T, 8)
    for t in range(T):
        changed = x.clone()
        changed[:, t:] = torch.randn(2, T - t, 8)
        a, b = (layer(z, mask=causal_mask(T)) for z in (x, changed))
        torch.testing.assert_close(a[:, :t], b[:, :t], rtol=0, atol=0)
        assert not torch.allclose(a[:, t:], b[:, t:])


def test_padding_is_never_read():
    layer, x = MultiHeadAttention(8, 2), torch.randn(3, 6, 8)
    lengths = torch.tensor([6, 1, 4])
    mask = padding_mask(lengths, 6)
    assert mask.sum(-1).flatten().tolist() == [6, 1, 4]
    out, weights = layer.attend(x, mask=mask)
    assert (weights.masked_select(~mask.expand_as(weights)) == 0).all()
    for b, n in enumerate(lengths):
        torch.testing.assert_close(out[b : b + 1, :n], layer(x[b : b + 1, :n]))


def test_masks_combine():
    both = causal_mask(4) & padding_mask(torch.tensor([2, 4]), 4)
    assert both.shape == (2, 1, 4, 4) and both.sum((1, 2, 3)).tolist() == [7, 10]


def test_a_query_with_nothing_to_attend_to_gets_zeros_and_finite_gradients():
    q, k, v = (t.requires_grad_() for t in qkv())
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[2] = False
    out, weights = attention(q, k, v, mask)
    assert (out[:, :, 2] == 0).all() and (weights[:, :, 2] == 0).all()
    torch.testing.assert_close(out[:, :, 0], attention(q, k, v)[0][:, :, 0])
    out.square().sum().backward()
    assert all(t.grad.isfinite().all() for t in (q, k, v))
    assert (q.grad[:, :, 2] == 0).all() and (q.grad[:, :, 1] != 0).any()


def test_without_positions_a_permuted_input_gives_a_permuted_output():
    layer, x, order = MultiHeadAttention(8, 2), torch.randn(2, 6, 8), torch.randperm(6)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order])
    with_places = x + sinusoidal(6, 8)
    moved = x[:, order] + sinusoidal(6, 8)
    assert not torch.allclose(layer(moved), layer(with_places)[:, order], atol=1e-3)


def test_the_order_of_the_memory_does_not_matter():
    layer, x, memory = MultiHeadAttention(8, 2), torch.randn(2, 3, 8), torch.randn(2, 6, 8)
    torch.testing.assert_close(layer(x, memory), layer(x, memory[:, torch.randperm(6)]))


@pytest.mark.parametrize("heads, kv_heads", [(4, 4), (4, 2), (4, 1), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_shapes_and_finite_gradients(heads, kv_heads, bias):
    layer = MultiHeadAttention(16, heads, kv_heads, bias=bias)
    x, memory = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    out, weights = layer.attend(x, memory)
    assert out.shape == (2, 3, 16) and weights.shape == (2, heads, 3, 5)
    torch.testing.assert_close(layer(x, memory), out)
    out.square().mean().backward()
    grads = dict((name, p.grad) for name, p in layer.named_parameters())
    assert len(grads) == (8 if bias else 4)
    # A bias of the keys adds the same number to all scores of a query: no effect, and a gradient of 0.
    assert all(g.isfinite().all() and ("key.bias" in n or (g != 0).any()) for n, g in grads.items())


def test_grouped_queries_share_keys_and_values():
    grouped, x = MultiHeadAttention(8, 4, kv_heads=2), torch.randn(2, 5, 8)
    full = MultiHeadAttention(8, 4)
    with torch.no_grad():
        for name in ("query", "out"):
            full.get_submodule(name).load_state_dict(grouped.get_submodule(name).state_dict())
        for name in ("key", "value"):  # each key-value head is written down once for each of its two queries
            for kind in ("weight", "bias"):
                part = getattr(grouped.get_submodule(name), kind).unflatten(0, (2, 2))
                getattr(full.get_submodule(name), kind).copy_(part.repeat_interleave(2, 0).flatten(0, 1))
    torch.testing.assert_close(grouped(x), full(x))
    assert grouped.key.weight.numel() == full.key.weight.numel() / 2


def test_sinusoids_by_hand_and_a_step_is_a_rotation():
    table = sinusoidal(50, 6)
    assert table.shape == (50, 6)
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1, 0, 1, 0, 1]))
    f = 10_000 ** (-2 / 6)
    angle = torch.tensor(3 * f)
    torch.testing.assert_close(table[3, 2:4], torch.stack([angle.sin(), angle.cos()]))
    products = table @ table.T  # depends on the distance alone
    torch.testing.assert_close(products[5, 9], products[30, 34])


@pytest.mark.parametrize("shift", [0, 1, 100, 2.5])
def test_rotary_scores_depend_on_the_distance_alone(shift):
    q, k, _ = qkv(T=5, S=5, hs=8)
    places = torch.arange(5)
    here = rotate(q, places) @ rotate(k, places).mT
    there = rotate(q, places + shift) @ rotate(k, places + shift).mT
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
    other = rotate(q, places + 1) @ rotate(k, places).mT
    assert not torch.allclose(here, other, atol=1e-2)


def test_rotation_keeps_lengths_and_leaves_place_zero_alone():
    x = torch.randn(2, 3, 5, 8)
    turned = rotate(x, torch.arange(5))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])
    assert rotate(x.bfloat16(), torch.arange(5)).dtype == torch.bfloat16
    pair = torch.view_as_complex(x[0, 0, 2].view(4, 2))  # an independent way: complex numbers
    angle = 2 * 10_000 ** (-torch.arange(4) / 4)
    torch.testing.assert_close(turned[0, 0, 2].view(4, 2), torch.view_as_real(pair * torch.polar(torch.ones(4), angle)))


def test_alibi_by_hand():
    bias = alibi_bias(8, 3)
    torch.testing.assert_close(bias[0], torch.tensor([[0, -0.5, -1], [-0.5, 0, -0.5], [-1, -0.5, 0]]))
    torch.testing.assert_close(bias[-1], bias[0] / 2**7)
    torch.testing.assert_close(alibi_bias(2, 2)[:, 1, 0], torch.tensor([-(2.0**-4), -(2.0**-8)]))


def test_learns_to_copy_the_first_token():
    table, layer, head = nn.Embedding(8, 16), MultiHeadAttention(16, 2), nn.Linear(16, 8)
    places = sinusoidal(6, 16)
    parameters = [*table.parameters(), *layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(200):
        x = torch.randint(8, (64, 6))
        loss = nn.functional.cross_entropy(head(layer(table(x) + places)[:, -1]), x[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1  # log 8 = 2.08 for a guess


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda q, k, v: (q[0], k, v), "four dimensions"),
        (lambda q, k, v: (q[:1], k, v), "one B and one nh"),
        (lambda q, k, v: (q, k[..., :2], v), "one hs"),
        (lambda q, k, v: (q, k, v[:, :, :3]), "as many values as keys"),
        (lambda q, k, v: (q, k.double(), v), "one float type"),
        (lambda q, k, v: (q.long(), k.long(), v.long()), "one float type"),
        (lambda q, k, v: (q, k, v, torch.zeros(5, 7)), "torch.bool"),
        (lambda q, k, v: (q, k, v, torch.ones(7, 5).bool()), r"\(7, 5\).*\(2, 3, 5, 7\)"),
        (lambda q, k, v: (q, k, v, torch.ones(2, 7).bool()), r"\(2, 7\)"),
        (lambda q, k, v: (q, k, v, torch.ones(1, 2, 1, 5, 7).bool()), "broadcasts"),
        (lambda q, k, v: (q, k[:, :, :1], v[:, :, :1], torch.ones(5, 7).bool()), "broadcasts"),
        (lambda q, k, v: (q, k, v, None, torch.ones(5, 7).bool()), "expected floats"),
        (lambda q, k, v: (q, k, v, None, torch.ones(3, 5, 5)), "bias has shape"),
    ],
)
def test_inputs_that_do_not_fit_are_named(change, match):
    with pytest.raises(ValueError, match=match):
        attention(*change(*qkv()))


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: MultiHeadAttention(10, 3), "width=10, heads=3"),
        (lambda: MultiHeadAttention(12, 4, kv_heads=3), "kv_heads=3"),
        (lambda: MultiHeadAttention(12, 0), "heads=0"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(2, 5, 6)), r"x has shape \(2, 5, 6\)"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(5, 8)), "x has shape"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(2, 5, 8), torch.randn(2, 5, 4)), "memory has shape"),
        (lambda: MultiHeadAttention.from_torch(nn.MultiheadAttention(8, 2, kdim=4)), "equal widths"),
        (lambda: MultiHeadAttention.from_torch(nn.MultiheadAttention(8, 2, add_bias_kv=True)), "add_bias_kv"),
        (lambda: causal_mask(0), "T=0"),
        (lambda: padding_mask(torch.tensor([3, 7]), 6), "0 to T=6"),
        (lambda: padding_mask(torch.tensor([-1]), 6), "0 to T=6"),
        (lambda: padding_mask(torch.tensor([1.5]), 6), "whole numbers"),
        (lambda: padding_mask(torch.ones(2, 3).long(), 6), "shape"),
        (lambda: sinusoidal(4, 5), "C=5"),
        (lambda: rotate(torch.randn(1, 1, 4, 3), torch.arange(4)), "even hs"),
        (lambda: rotate(torch.randn(1, 1, 4, 2), torch.arange(5)), r"expected \(4,\)"),
        (lambda: alibi_bias(0, 4), "nh=0"),
    ],
)
def test_bad_arguments_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()
