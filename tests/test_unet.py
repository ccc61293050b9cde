"""Both U-Nets: shapes, gradients, laws of the architecture, and what bad input looks like.

Of the fast one nothing is tested but what its interface says.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from aigc_lib import data
from aigc_lib.models.unet import Attention, Condition, ResBlock, UNet
from aigc_lib.models.unet_fast import FastUNet

BUILD = {
    "unet": partial(UNet, dim=8, multipliers=(1, 2, 2), kind="v"),
    "fast": partial(FastUNet, dim=16, middle=32),
}
models = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def trained(build, **options):
    """A model whose weights are all in use: an untrained one says 0 to everything."""
    torch.manual_seed(0)
    model = build(**options)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def batch(n=4, channels=1, height=8, width=8):
    return normal(n, channels, height, width), torch.arange(n) * 300, torch.arange(n) % 3


@models
@pytest.mark.parametrize("channels, height, width", [(1, 28, 28), (3, 8, 12), (1, 4, 4)])
def test_what_comes_out_is_like_what_goes_in(build, channels, height, width):
    model = trained(build, channels=channels, classes=3)
    x, t, y = batch(2, channels, height, width)
    out = model(x, t, y)
    assert out.shape == x.shape and out.dtype == x.dtype
    assert torch.isfinite(out).all() and out.std() > 0
    assert model.classes == 3 and model.kind == "v" and model.channels == channels


@models
@pytest.mark.parametrize("classes", [0, 3])
def test_finite_gradients_for_every_parameter(build, classes):
    model, (x, t, y) = trained(build, classes=classes), batch(12)
    y = torch.arange(12) % 4 if classes else None  # 3 is "no class"
    (model(x, t, y) * normal(*x.shape, seed=1)).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


@models
def test_an_untrained_network_says_0(build):
    torch.manual_seed(0)
    x, t, y = batch()
    assert (build(classes=3)(x, t, y) == 0).all()


@models
def test_it_learns_to_say_something_else(build):
    """Zeros at the start must not keep the gradient out: every weight has moved after five steps."""
    torch.manual_seed(0)
    model, (x, t, y) = build(classes=3), batch()
    y[0] = 3
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        loss = (model(x, t, y) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, p in model.named_parameters():
        assert not torch.equal(p, before[name]), name


@models
def test_time_and_class_matter_and_no_class_is_the_last_one(build):
    model, (x, t, y) = trained(build, classes=3), batch()
    out = model(x, t, y)
    assert (model(x, t + 1, y) - out).abs().amax((1, 2, 3)).min() > 1e-4
    assert (model(x, t, (y + 1) % 3) - out).abs().amax((1, 2, 3)).min() > 1e-4
    assert torch.equal(model(x, t), model(x, t, torch.full_like(t, 3)))
    assert not torch.allclose(model(x, t), out)


@models
def test_rows_of_a_batch_do_not_meet(build):
    model, (x, t, y) = trained(build, classes=3), batch()
    together = model(x, t, y)
    for i in range(4):
        alone = model(x[i : i + 1], t[i : i + 1], y[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)


@models
def test_every_pixel_sees_every_other(build):
    """Through the middle of the network: where one pixel changes, a far corner's answer does too."""
    model, (x, t, y) = trained(build, classes=3).double(), batch(1, height=16, width=16)
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x, t, y)[0, 0, 0, 0], x)
    assert gradient.abs().min() > 0


@models
def test_detail_goes_around_the_middle(build):
    """To repeat fresh noise, the network must carry each pixel past the middle, which is too narrow for them.

    There are 64 pixels. The middle of either network holds 32 numbers at most, which leave half of the variance.
    """
    torch.manual_seed(0)
    small = {"multipliers": (1, 1, 1)} if build.func is UNet else {"dim": 32, "middle": 8}
    model, losses = build(**small, classes=0), []
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(120):
        x, t = normal(32, 1, 8, 8, seed=step), torch.zeros(32, dtype=torch.int64)
        loss = (model(x, t) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25


@models
def test_overfits_one_batch(build):
    torch.manual_seed(0)
    model, x0 = build(classes=10), data.mnist("train")[0][:8]
    eps, t, y = normal(8, 1, 28, 28), torch.full((8,), 500), data.mnist("train")[1][:8]
    xt, wanted = 0.7 * x0 + 0.7 * eps, 0.7 * eps - 0.7 * x0  # as good a target as any
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=5e-3), []
    for _ in range(80):
        loss = (model(xt, t, y) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@models
def test_the_layout_of_memory_changes_nothing(build):
    model, (x, t, y) = trained(build, classes=3), batch()
    expected = model(x, t, y)
    model = model.to(memory_format=torch.channels_last)
    ours = model(x.to(memory_format=torch.channels_last), t, y)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


def test_blocks_on_the_way_up_get_what_their_opposites_saw():
    model, (x, t, _) = trained(partial(UNet, dim=8, multipliers=(1, 2, 2))), batch(2)
    seen, got = [], []
    for layer in (model.first, *model.down, *model.smaller):
        layer.register_forward_hook(lambda _, args, out: seen.append(out))
    for block in model.up:
        block.register_forward_pre_hook(lambda _, args: got.append(args[0]))
    model(x, t)
    assert len(seen) == len(got) == 9
    for made, used in zip(reversed(seen), got, strict=True):
        assert torch.equal(used[:, -made.shape[1] :], made)


def test_a_res_block_tells_the_time_and_begins_as_its_skip():
    torch.manual_seed(0)
    same, other = ResBlock(8, 8, 5), ResBlock(8, 16, 5)
    x, e = normal(3, 8, 4, 4), normal(3, 5)
    assert torch.equal(same(x, e), x)
    assert torch.equal(other(x, e), other.skip(x))
    torch.nn.init.normal_(same.conv2.weight)
    assert not torch.allclose(same(x, e), same(x, e + 1))


def test_attention_is_torchs():
    torch.manual_seed(0)
    layer, x = Attention(16), normal(3, 16, 4, 6)
    q, k, v = layer.qkv(layer.norm(x)).flatten(2).mT.chunk(3, dim=2)  # (B, HW, C) each
    gathered = F.scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
    torch.testing.assert_close(layer(x), x + layer.out(gathered), atol=1e-5, rtol=1e-4)


def test_no_two_times_look_alike():
    condition = Condition(16, 0)
    inner = []
    condition.time[0].register_forward_pre_hook(lambda _, args: inner.append(args[0]))
    e = condition(torch.arange(1000), None)
    (features,) = inner
    assert features.shape == (1000, 64) and e.shape == (1000, 16)
    apart = torch.cdist(features, features) + 9 * torch.eye(1000)
    assert apart.min() > 0.5
    torch.testing.assert_close(features.square().sum(1), torch.full((1000,), 32.0))  # sines and cosines in pairs
    # The slowest pair tells early from late: its sine rises all the way.
    assert (features[:, 31].diff() > 0).all()


def mistakes(build):
    x, t, y = batch(2)
    with_classes, without = build(classes=3), build(classes=0)
    return [
        (lambda: with_classes(x[0], t, y), r"x has shape \(1, 8, 8\): expected \(B, 1, H, W\)"),
        (lambda: with_classes(x.expand(2, 3, 8, 8), t, y), r"x has shape \(2, 3, 8, 8\): expected \(B, 1, H, W\)"),
        (lambda: with_classes(normal(2, 1, 8, 10), t, y), r"\(2, 1, 8, 10\): expected .* H and W multiples of 4"),
        (lambda: with_classes(normal(2, 1, 30, 28), t, y), r"\(2, 1, 30, 28\): expected .* multiples of 4"),
        (lambda: with_classes(x, t[:1], y), r"t of shape \(1,\) .*: expected one time for each of 2 images"),
        (lambda: with_classes(x, t.float(), y), "type torch.float32: expected .* int64, at least 0"),
        (lambda: with_classes(x, t - 1, y), "expected .* at least 0"),
        (lambda: with_classes(x, t, y + 3), "class 3 to 4: expected 0 to 2, or 3 for none"),
        (lambda: with_classes(x, t, y - 1), "class -1 to 0: expected 0 to 2"),
        (lambda: with_classes(x, t, y[:1]), r"classes \(1,\): expected one for each of 2 images"),
        (lambda: without(x, t, y), "classes given: this network was built without"),
    ]


@models
@pytest.mark.parametrize("which", range(11))
def test_mistakes_are_named(build, which):
    wrong, message = mistakes(build)[which]
    with pytest.raises(ValueError, match=message):
        wrong()
