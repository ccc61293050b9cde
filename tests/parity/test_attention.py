"""Our attention beside torch's: the same outputs and the same gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib.nn.attention import MultiHeadAttention, attention, causal_mask, padding_mask
from aigc_lib.nn.embeddings import alibi_bias

CLOSE = {"rtol": 0, "atol": 1e-5}
MASKS = {
    "none": None,
    "causal": causal_mask(6),
    "padding": padding_mask(torch.tensor([6, 2, 4]), 6),
    "both": causal_mask(6) & padding_mask(torch.tensor([6, 2, 4]), 6),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def gradients(out, inputs):
    """Of a fixed linear function of the output: no sum, under which the weights' gradients cancel."""
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    return torch.autograd.grad((out * weight).sum(), inputs)


def assert_same(ours, theirs, inputs, their_inputs=None):
    torch.testing.assert_close(ours, theirs, **CLOSE)
    their_inputs = inputs if their_inputs is None else their_inputs
    for a, b in zip(gradients(ours, inputs), gradients(theirs, their_inputs), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def test_at_work():
    # [at-work]
    import torch.nn.functional as F
    from torch import nn

    q, k, v = torch.randn(3, 2, 4, 10, 16).unbind(0)  # each (B, nh, T, hs)
    mask = causal_mask(10)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(attention(q, k, v, mask)[0], theirs)

    layer = nn.MultiheadAttention(64, 4, batch_first=True)
    ours = MultiHeadAttention.from_torch(layer)
    x = torch.randn(2, 10, 64)
    theirs, _ = layer(x, x, x, attn_mask=~mask)  # here True means: not allowed
    torch.testing.assert_close(ours(x, mask=mask), theirs)
    # [/at-work]


@pytest.mark.parametrize("name", MASKS)
def test_core_is_scaled_dot_product_attention(name):
    q, k, v = (torch.randn(3, 2, 6, 8, requires_grad=True) for _ in range(3))
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=MASKS[name])
    assert_same(attention(q, k, v, MASKS[name])[0], theirs, (q, k, v))


def test_cross_attention_and_bias_are_torchs():
    q = torch.randn(3, 2, 4, 8, requires_grad=True)
    k, v = (torch.randn(3, 2, 7, 8, requires_grad=True) for _ in range(2))
    assert_same(attention(q, k, v)[0], F.scaled_dot_product_attention(q, k, v), (q, k, v))
    k, v = k[:, :, :4], v[:, :, :4]
    bias = alibi_bias(2, 4)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    assert_same(attention(q, k, v, bias=bias)[0], theirs, (q, k, v))


GQA = "enable_gqa" in (F.scaled_dot_product_attention.__doc__ or "")


@pytest.mark.skipif(not GQA, reason="this torch has no enable_gqa")
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_grouped_queries_are_torchs(kv_heads):
    layer, x = MultiHeadAttention(32, 4, kv_heads), torch.randn(3, 6, 32)
    q, k, v = layer.project(x)
    group = 4 // kv_heads
    few = k[:, ::group], v[:, ::group]
    theirs = F.scaled_dot_product_attention(q, *few, attn_mask=causal_mask(6), enable_gqa=True)
    theirs = layer.out(theirs.transpose(1, 2).flatten(2))
    assert few[0].shape[1] == kv_heads
    assert_same(layer(x, mask=causal_mask(6)), theirs, tuple(layer.parameters()))


def their_masks(name):
    """torch's layer takes masks with the other sign, and padding apart."""
    causal = ~causal_mask(6) if name in ("causal", "both") else None
    padding = ~MASKS["padding"][:, 0, 0] if name in ("padding", "both") else None
    return {"attn_mask": causal, "key_padding_mask": padding}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", MASKS)
def test_layer_is_multihead_attention(name, bias):
    layer = nn.MultiheadAttention(32, 4, bias=bias, batch_first=True)
    if bias:
        nn.init.normal_(layer.in_proj_bias)  # zeros would hide a swapped one
        nn.init.normal_(layer.out_proj.bias)
    ours = MultiHeadAttention.from_torch(layer)
    x, memory = (torch.randn(3, 6, 32, requires_grad=True) for _ in range(2))
    theirs, their_weights = layer(x, memory, memory, average_attn_weights=False, **their_masks(name))
    out, weights = ours.attend(x, memory, mask=MASKS[name])
    torch.testing.assert_close(weights, their_weights, **CLOSE)
    assert_same(out, theirs, (x, memory))
    stacked = torch.cat(
        [gradients(ours(x, memory, MASKS[name]), getattr(ours, part).weight)[0] for part in ("query", "key", "value")]
    )
    theirs, _ = layer(x, memory, memory, **their_masks(name))
    torch.testing.assert_close(stacked, gradients(theirs, layer.in_proj_weight)[0], **CLOSE)


def test_dtype_follows():
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    x = torch.randn(1, 3, 8).double()
    torch.testing.assert_close(MultiHeadAttention.from_torch(layer)(x), layer(x, x, x)[0])
