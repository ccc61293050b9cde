"""Super-resolution: small images and large ones, the network that is given one, its training, and its checkpoint."""

import math
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aigc_lib import data, recipes
from aigc_lib.evaluate import psnr
from aigc_lib.models.super_resolution import Upscaler, enlarge, shrink
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.recipes import sr_mnist
from aigc_lib.sample.upscale import upscale
from aigc_lib.training.splits import Splits
from aigc_lib.training.upscaling import four_ways, measured_upscaling

ALPHA_BAR = sr_mnist.ALPHA_BAR
ALONE = SimpleNamespace(  # what Accelerate is for one process
    device="cpu",
    prepare=lambda *parts: parts,
    backward=lambda loss: loss.backward(),
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(n=64):
    images = data.mnist("train")[0][:n].clone()
    return Splits((images,), (images[:16],), "a part")


def trained(**options):
    """A network whose weights are all in use: an untrained one says 0 to everything."""
    torch.manual_seed(0)
    model = Upscaler(**({"dim": 16, "middle": 32} | options))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def batch(n=4, channels=1, side=28, factor=4):
    x = torch.randn(n, channels, side, side, generator=rng())
    low = torch.rand(n, channels, side // factor, side // factor, generator=rng(1))
    return x, torch.arange(n) * 300, 2 * low - 1


def test_a_small_image_holds_averages():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert shrink(image, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert shrink(image).tolist() == [[[[7.5]]]]
    images = data.mnist("test")[0][:5]
    assert shrink(images).shape == (5, 1, 7, 7)
    torch.testing.assert_close(shrink(images).mean((2, 3)), images.mean((2, 3)))


def test_to_enlarge_by_repetition_loses_nothing_and_adds_nothing():
    _, _, low = batch()
    assert torch.equal(enlarge(low, 4, "nearest")[:, :, ::4, ::4], low)
    torch.testing.assert_close(shrink(enlarge(low, 4, "nearest")), low)
    flat = torch.full((1, 1, 7, 7), 0.3)
    for mode in ("nearest", "bilinear", "bicubic"):
        torch.testing.assert_close(enlarge(flat, mode=mode), torch.full((1, 1, 28, 28), 0.3))
    edge = torch.where(torch.arange(7) < 3, -1.0, 1.0).expand(1, 1, 7, 7)
    assert enlarge(edge).abs().max() == 1  # bicubic overshoots at an edge: it is kept in range


@pytest.mark.parametrize("channels, side, factor", [(1, 28, 4), (3, 16, 2), (1, 24, 8)])
def test_what_comes_out_is_like_the_noisy_image(channels, side, factor):
    model = trained(channels=channels, factor=factor)
    x, t, low = batch(3, channels, side, factor)
    out = model(x, t, low)
    assert out.shape == x.shape and torch.isfinite(out).all() and out.std() > 0
    assert (model.kind, model.channels, model.given, model.factor) == ("v", channels, channels, factor)


def test_finite_gradients_for_every_parameter():
    model, (x, t, low) = trained(), batch()
    (model(x, t, low) * torch.randn(x.shape, generator=rng(2))).sum().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


def test_the_network_is_the_u_net_with_the_enlarged_image_behind_the_noisy_one():
    model, (x, t, low) = trained(), batch()
    plain = FastUNet(dim=16, middle=32, classes=0, given=1)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(plain(torch.cat((x, enlarge(low)), dim=1), t), model(x, t, low))
    model.first.weight.data[:, 4:] = 0  # the channels into which the pixels of the known image move
    without = FastUNet(dim=16, middle=32, classes=0)
    state = model.state_dict() | {"first.weight": model.first.weight[:, :4]}
    without.load_state_dict(state)
    torch.testing.assert_close(without(x, t), model(x, t, low))
    torch.testing.assert_close(model(x, t, -low), model(x, t, low))


def test_a_u_net_that_is_given_nothing_has_the_weights_it_had():
    torch.manual_seed(0)
    assert FastUNet().first.weight.shape == (48, 4, 3, 3) and FastUNet().given == 0


def test_every_pixel_of_the_small_image_matters_to_every_pixel():
    model, (x, t, low) = trained().double(), batch(1)
    low = low.double().requires_grad_()
    for place in ((0, 0), (13, 20), (27, 27)):
        (gradient,) = torch.autograd.grad(model(x.double(), t, low)[0, 0, *place], low)
        assert gradient.abs().min() > 0


def test_rows_of_a_batch_do_not_meet():
    model, (x, t, low) = trained(), batch()
    together = model(x, t, low)
    for i in range(4):
        alone = model(x[i : i + 1], t[i : i + 1], low[i : i + 1])
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=1e-4)


def test_overfits_one_batch_of_small_images():
    """With pure noise as the noisy image, only the small one says which of them is meant."""
    torch.manual_seed(0)
    model, images = Upscaler(dim=16, middle=32), data.mnist("train")[0][:8]
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=5e-3), []
    for step in range(80):
        noise = torch.randn(images.shape, generator=rng(step))
        output = model(noise, torch.full((8,), 999), shrink(images))
        loss = (output + images).square().mean()  # v is -x0 where there is nothing but noise
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_noise_on_small_images_is_little_and_at_times_less():
    images = data.mnist("train")[0][:400]
    noise = sr_mnist.noisy_small(images, rng()) - shrink(images)
    deviations = noise.flatten(1).std(dim=1)
    assert deviations.max() < 1.4 * sr_mnist.NOISE and deviations.min() < 0.1 * sr_mnist.NOISE
    assert deviations.mean().item() == pytest.approx(sr_mnist.NOISE / 2, rel=0.1)
    assert noise.mean().abs() < 0.005
    assert torch.equal(sr_mnist.noisy_small(images, rng()), sr_mnist.noisy_small(images, rng()))


def test_batches_have_images_with_their_small_ones():
    job = sr_mnist.prepare(digits(128), ALONE, rng())
    for x, low, t, eps in islice(job.batches, 3):
        assert x.shape == eps.shape == (64, 1, 28, 28) and low.shape == (64, 1, 7, 7) and t.dtype == torch.int64
        apart = torch.cdist(shrink(x).flatten(1), low.flatten(1))
        assert (apart.argmin(1) == torch.arange(64)).float().mean() > 0.9  # some ones look alike


class Memory(nn.Module):
    """Knows the large image of every small one, whatever the noise."""

    def __init__(self, images):
        super().__init__()
        self.kind, self.channels, self.factor, self.told = "x0", 1, 4, []
        self.images, self.scale = images, nn.Parameter(torch.ones(()))

    def forward(self, x, t, low):
        self.told.append((t[0].item(), len(low)))
        rows = torch.cdist(low.flatten(1), shrink(self.images).flatten(1)).argmin(1)
        return self.scale * self.images[rows]


def test_one_large_image_for_each_small_one_in_order():
    images = data.mnist("test")[0][:25]
    model = Memory(images)
    found = upscale(model, shrink(images), ALPHA_BAR, steps=3, batch_size=10)
    torch.testing.assert_close(found, images, atol=1e-5, rtol=0)
    assert model.told == [(t, n) for n in (10, 10, 5) for t in (999, 666, 332)]
    model.images = 3 * images
    assert upscale(model, shrink(images), ALPHA_BAR, steps=1).abs().max() == 1  # kept in range


def test_other_noise_gives_another_image_and_one_seed_the_same():
    model, (_, _, low) = trained(), batch()
    first, again, other = (upscale(model, low, ALPHA_BAR, steps=3, generator=rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and first.shape == (4, 1, 28, 28)
    assert (first - other).abs().amax((1, 2, 3)).min() > 0.01


def test_one_step_is_what_the_network_says_of_noise_alone():
    """alpha_bar is next to 0 at the last time, so v is -x0 there: the target of a regression on the small image."""
    model, (_, _, low) = trained(), batch()
    noise = torch.randn(4, 1, 28, 28, generator=rng(5))
    expected = -model(noise, torch.full((4,), 999), low).clamp(-1, 1)
    found = upscale(model, low, ALPHA_BAR, steps=1, generator=rng(5))
    torch.testing.assert_close(found, expected.detach(), atol=1e-3, rtol=0)


def test_marks_of_a_perfect_way_and_of_none():
    images = data.mnist("test")[0][:64]
    splits = Splits((), (images,), "a part")
    found = measured_upscaling(Memory(0.999 * images), splits, recipes.digit_features(), ALPHA_BAR, samples=32)
    ways, marks = ("drawn", "mean", "bicubic", "nearest"), ("fdd", "psnr", "consistency")
    assert found.keys() == {f"{mark}_{way}" for mark in marks for way in ways} - {"consistency_nearest"}
    assert all(math.isfinite(value) for value in found.values())
    assert abs(found["fdd_drawn"]) < 0.05 and found["psnr_drawn"] > 60 and found["consistency_drawn"] > 60
    assert found["fdd_nearest"] > 20 and found["fdd_bicubic"] > 20
    assert found["psnr_nearest"] < found["psnr_bicubic"] < 20
    ways = four_ways(Memory(images), shrink(images), ALPHA_BAR)
    assert psnr(shrink(ways["nearest"]), shrink(images)) > 100


def test_the_recipe_trains_a_network_that_enlarges():
    splits = digits(128)
    job = sr_mnist.prepare(splits, ALONE, rng())
    for step_batch in islice(job.batches, 2):
        assert torch.isfinite(job.update(step_batch)["loss"])
    metrics = sr_mnist.metrics(job.model.eval(), splits)
    assert all(math.isfinite(value) for value in metrics.values())
    assert job.model.state_dict().keys() == sr_mnist.build().state_dict().keys()


def test_bad_input_is_named():
    model, (x, t, low) = trained(), batch()
    for wrong in (low[0], low[:2], low.expand(4, 3, 7, 7), torch.zeros(4, 1, 28, 28), shrink(x, 2), low.byte()):
        with pytest.raises(ValueError, match=r"small images \(.*expected floats \(4, 1, 7, 7\) for images \(4, 1, 28"):
            model(x, t, wrong)
    with pytest.raises(ValueError, match=r"images have shape \(2, 1, 27, 28\): expected .* multiples of 4"):
        shrink(torch.zeros(2, 1, 27, 28))
    with pytest.raises(ValueError, match=r"images have shape \(28, 28\): expected \(B, C, H, W\)"):
        shrink(torch.zeros(28, 28))
    with pytest.raises(ValueError, match=r"small images have shape \(7, 7\): expected \(B, C, h, w\)"):
        upscale(model, low[0, 0], ALPHA_BAR)
    with pytest.raises(ValueError, match="0 sampling steps: expected 1 to 1000"):
        upscale(model, low, ALPHA_BAR, steps=0)
    with pytest.raises(ValueError, match="mode 'cubic': expected nearest, bilinear or bicubic"):
        enlarge(low, 4, "cubic")
    given = FastUNet(dim=16, middle=32, classes=0, given=1)
    with pytest.raises(ValueError, match=r"x has shape \(4, 1, 28, 28\): expected \(B, 2, H, W\)"):
        given(x, t)


@pytest.mark.skipif(
    not (recipes.SHIPPED / "sr_mnist.safetensors").exists(),
    reason="the checkpoint is still to be trained",
)
def test_the_checkpoint_draws_sharp_digits_that_agree_with_the_small_ones():
    model, (images, labels) = recipes.load("sr_mnist"), (part[:200] for part in data.mnist("test"))
    low = shrink(images)
    drawn = upscale(model, low, ALPHA_BAR, steps=10, generator=rng())
    mean = upscale(model, low, ALPHA_BAR, steps=1, generator=rng())
    assert psnr(shrink(drawn), low) > 25
    assert psnr(mean, images) > psnr(drawn, images)  # the mean is nearest on average, and blurred

    def grey(x):
        return (x.abs() < 0.5).float().mean()

    assert grey(drawn) < 1.2 * grey(images) and grey(mean) > 1.5 * grey(images)
    _, probabilities = recipes.digit_features()(drawn)
    assert (probabilities.argmax(1) == labels).float().mean() > 0.85
