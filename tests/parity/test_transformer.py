"""Our layers and stacks beside torch's: the same outputs and the same gradients."""

import pytest
import torch
from torch import nn

from aigc_lib.models.transformer import Decoder, DecoderLayer, Encoder, EncoderLayer, copy_torch, real
from aigc_lib.nn.attention import causal_mask

CLOSE = {"rtol": 0, "atol": 1e-5}
SIZES = {"d_model": 32, "nhead": 4, "dim_feedforward": 48, "dropout": 0.0, "batch_first": True}
KINDS = [(pre, kind) for pre in (True, False) for kind in ("relu", "gelu")]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def stirred(module):
    """With weights that are nowhere 0 or 1, which would hide two that are exchanged."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module


def assert_same(ours, theirs, inputs, ours_weights, their_weights):
    """Outputs, and the gradients by the inputs and by some weights."""
    torch.testing.assert_close(ours, theirs, **CLOSE)
    weight = torch.linspace(-1, 1, ours.numel()).view_as(ours)  # a plain sum would hide the last norm
    mine = torch.autograd.grad((ours * weight).sum(), [*inputs, *ours_weights])
    other = torch.autograd.grad((theirs * weight).sum(), [*inputs, *their_weights])
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a / b.abs().max(), b / b.abs().max(), **CLOSE)


def data():
    x, y = torch.randn(3, 6, 32, requires_grad=True), torch.randn(3, 5, 32, requires_grad=True)
    keep = real(torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1] * 4 + [0, 0]]))
    return x, y, keep, ~keep[:, 0, 0]  # torch: True is left out


def test_at_work():
    # [at-work]
    from torch import nn

    sizes = {"d_model": 32, "nhead": 4, "dim_feedforward": 64, "batch_first": True}
    sizes |= {"num_encoder_layers": 2, "num_decoder_layers": 2, "norm_first": True}
    theirs = nn.Transformer(**sizes).eval()
    encoder = Encoder(EncoderLayer(32, 4, 64) for _ in range(2)).eval()
    decoder = Decoder(DecoderLayer(32, 4, 64) for _ in range(2)).eval()
    copy_torch(encoder, theirs.encoder)
    copy_torch(decoder, theirs.decoder)
    x, y = torch.randn(3, 7, 32), torch.randn(3, 5, 32)
    ours, _ = decoder(y, encoder(x))
    hidden = ~causal_mask(5)  # there True means: not allowed
    torch.testing.assert_close(ours, theirs(x, y, tgt_mask=hidden))
    # [/at-work]


@pytest.mark.parametrize("pre_norm, kind", KINDS)
def test_encoder_layer(pre_norm, kind):
    layer = stirred(nn.TransformerEncoderLayer(**SIZES, activation=kind, norm_first=pre_norm))
    ours = EncoderLayer(32, 4, 48, 0.0, pre_norm, kind)
    copy_torch(ours, layer)
    x, _, keep, pad = data()
    mine = [ours.attention.out.weight, ours.feed_forward.up.weight, ours.norms[1].weight]
    other = [layer.self_attn.out_proj.weight, layer.linear1.weight, layer.norm2.weight]
    assert_same(ours(x, keep), layer(x, src_key_padding_mask=pad), [x], mine, other)


@pytest.mark.parametrize("pre_norm, kind", KINDS)
def test_decoder_layer(pre_norm, kind):
    layer = stirred(nn.TransformerDecoderLayer(**SIZES, activation=kind, norm_first=pre_norm))
    ours = DecoderLayer(32, 4, 48, 0.0, pre_norm, kind)
    copy_torch(ours, layer)
    x, y, keep, pad = data()
    theirs = layer(y, x, tgt_mask=~causal_mask(5), memory_key_padding_mask=pad)
    mine = [ours.attention.out.weight, ours.cross.out.weight, ours.feed_forward.down.weight]
    mine += [norm.bias for norm in ours.norms]
    other = [layer.self_attn.out_proj.weight, layer.multihead_attn.out_proj.weight, layer.linear2.weight]
    other += [layer.norm1.bias, layer.norm2.bias, layer.norm3.bias]
    assert_same(ours(y, x, keep)[0], theirs, [x, y], mine, other)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_whole_model(pre_norm):
    whole = stirred(nn.Transformer(**SIZES, num_encoder_layers=2, num_decoder_layers=2, norm_first=pre_norm))
    if not pre_norm:  # nn.Transformer puts a last norm there too; the paper does not
        whole.encoder.norm = whole.decoder.norm = None
    encoder = Encoder(EncoderLayer(32, 4, 48, 0.0, pre_norm) for _ in range(2))
    decoder = Decoder(DecoderLayer(32, 4, 48, 0.0, pre_norm) for _ in range(2))
    copy_torch(encoder, whole.encoder)
    copy_torch(decoder, whole.decoder)
    x, y, keep, pad = data()
    hidden = ~causal_mask(5)
    theirs = whole(x, y, tgt_mask=hidden, src_key_padding_mask=pad, memory_key_padding_mask=pad)
    ours, _ = decoder(y, encoder(x, keep), keep)
    mine = [encoder.layers[0].attention.out.weight, decoder.layers[1].cross.out.weight]
    other = [whole.encoder.layers[0].self_attn.out_proj.weight]
    other += [whole.decoder.layers[1].multihead_attn.out_proj.weight]
    assert_same(ours, theirs, [x, y], mine, other)


def test_an_encoder_with_gelu_and_swiglu_is_not_the_same():
    """The test above could not pass with another bend."""
    layer = nn.TransformerEncoderLayer(**SIZES, activation="gelu", norm_first=True)
    ours = EncoderLayer(32, 4, 48, 0.0, True, "relu")
    copy_torch(ours, layer)
    x = data()[0]
    assert not torch.allclose(ours(x), layer(x), atol=1e-3)
