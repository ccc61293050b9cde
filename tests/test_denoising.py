"""The training of diffusion models: the loss, the times, the batches, the update, and the recipe."""

import math
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib import data, diffusion, losses, recipes
from aigc_lib.models.unet import UNet
from aigc_lib.training.denoising import ANYWHERE, DECAY, UNLABELLED, denoising, draw, middle_times
from aigc_lib.training.splits import Splits

ALPHA_BAR = diffusion.cosine_schedule(1000)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def digits(n=64):
    images, labels = (part[:n].clone() for part in data.mnist("train"))
    return Splits((images, labels), (images[:8], labels[:8]), "a part")


def job(model, splits, alpha_bar=ALPHA_BAR, **options):
    """The job of one process, without Accelerate."""
    one = SimpleNamespace(
        device="cpu",
        prepare=lambda *parts: parts,
        backward=lambda loss: loss.backward(),
    )
    return denoising(model, splits, one, rng(), alpha_bar, **options)


class Answer(nn.Module):
    """Knows the one image there is and says what is wanted; keeps what it was told."""

    def __init__(self, kind, x0, classes=10, channels=1):
        super().__init__()
        self.kind, self.classes, self.channels, self.x0, self.told = kind, classes, channels, x0, []
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, xt, t, *y):
        self.told.append((xt, t, *y))
        x0 = self.x0.expand_as(xt)
        eps = diffusion.to_eps(x0, xt, t, ALPHA_BAR)
        return self.scale * diffusion.target(self.kind, x0, t, eps, ALPHA_BAR)


def one_image():
    image = digits().training[0][:1]
    return image, Splits((image.repeat(64, 1, 1, 1), torch.arange(64) % 10), (), "one image")


def test_the_loss_is_the_mean_squared_error():
    a, b = torch.randn(5, 1, 4, 4), torch.randn(5, 1, 4, 4)
    torch.testing.assert_close(losses.denoising_loss(a, b), F.mse_loss(a, b))
    with pytest.raises(ValueError, match=r"output \(5, 1, 4, 4\), wanted \(1, 4, 4\): expected the same shape"):
        losses.denoising_loss(a, b[0])


@pytest.mark.parametrize("kind", diffusion.KINDS)
def test_an_untrained_network_has_the_loss_of_saying_nothing(kind):
    """The mean square of what is wanted: 1 for eps, that of the pixels for x0, and the mixture of both for v."""
    net, splits = UNet(dim=8, multipliers=(1, 1), classes=10, kind=kind), digits(256)
    found = job(net, splits, batch_size=256)
    x, y, t, eps = next(found.batches)
    a, pixels = ALPHA_BAR[t].float(), x.square().mean((1, 2, 3))
    expected = {"eps": torch.ones(256), "x0": pixels, "v": a + (1 - a) * pixels}[kind].mean().item()
    assert found.update((x, y, t, eps))["loss"].item() == pytest.approx(expected, rel=0.02)


def test_every_time_is_trained():
    times = torch.cat([middle_times(100_000, 1000, rng(seed)) for seed in range(10)])
    counts = times.bincount(minlength=1000)
    assert times.dtype == torch.int64 and len(counts) == 1000  # none beyond the last
    assert counts.min() > 0.5 * ANYWHERE * 1000  # each, also the first and the last


def test_most_times_are_those_where_signal_and_noise_are_equal():
    """The share that is not drawn evenly: half the logarithm of the signal-to-noise ratio is standard normal."""
    n = 100_000  # so many that a time is a point
    times = middle_times(400_000, n, rng())
    half_log_snr = -torch.tan((times + 0.5) / n * math.pi / 2).log()
    normal, uniform = torch.distributions.Normal(0.0, 1.0), 2 / math.pi
    for level in (-3.0, -1.5, -0.5, 0.0, 0.5, 1.5, 3.0):
        found = (half_log_snr < level).float().mean().item()
        evenly = 1 - uniform * math.atan(math.exp(-level))
        expected = (1 - ANYWHERE) * normal.cdf(torch.tensor(level)).item() + ANYWHERE * evenly
        assert found == pytest.approx(expected, abs=0.004)
    assert middle_times(50, 1, rng()).tolist() == [0] * 50


def test_batches_have_images_with_their_classes_or_none_times_and_noise():
    splits = digits(500)
    model = SimpleNamespace(classes=10)
    found = job(UNet(dim=8, multipliers=(1, 1), classes=10), splits, batch_size=100)
    xs, ys, ts, epses = (torch.cat(parts) for parts in zip(*islice(found.batches, 100), strict=True))
    assert xs.shape == epses.shape == (10_000, 1, 28, 28) and ys.dtype == ts.dtype == torch.int64
    hidden = ys == model.classes
    assert hidden.float().mean().item() == pytest.approx(UNLABELLED, abs=5 * math.sqrt(0.09 / 10_000))
    of = {image.numpy().tobytes(): int(label) for image, label in zip(*splits.training, strict=True)}
    assert all(of[x.numpy().tobytes()] == y for x, y in zip(xs[~hidden], ys[~hidden].tolist(), strict=True))
    classes = torch.tensor([of[x.numpy().tobytes()] for x in xs[hidden]]).bincount(minlength=10)
    assert (classes > 0).all()  # any class is hidden at times
    assert 0 <= ts.min() and ts.max() < 1000
    assert epses.mean().abs() < 0.01 and abs(epses.std() - 1) < 0.01
    assert not torch.equal(epses[0], epses[100])


@pytest.mark.parametrize("kind", diffusion.KINDS)
def test_the_update_asks_for_what_the_network_says_at_the_noise_it_sees(kind):
    image, splits = one_image()
    model = Answer(kind, image)
    found = job(model, splits, lr=0.0)
    for _ in range(3):
        x, y, t, eps = next(found.batches)
        # At the last times the noise says next to nothing of x0, and float32 less.
        batch = (x, y, t.clamp(max=900), eps)
        logs = found.update(batch)
        assert logs.keys() == {"loss"} and logs["loss"] < 1e-6
        xt, told_t, told_y = model.told[-1]
        assert torch.equal(told_t, batch[2]) and torch.equal(told_y, y)
        torch.testing.assert_close(xt, diffusion.q_sample(x, batch[2], eps, ALPHA_BAR))


def test_a_network_without_classes_is_told_none():
    image, splits = one_image()
    model = Answer("v", image, classes=0)
    found = job(model, splits, lr=0.0)
    found.update(next(found.batches))
    assert len(model.told[-1]) == 2
    assert draw(model, 3, ALPHA_BAR, 2).shape == (3, 1, 28, 28) and len(model.told[-1]) == 2


def test_the_average_follows_the_weights():
    torch.manual_seed(0)
    found = job(UNet(dim=8, multipliers=(1, 1), classes=10), digits())
    weight, history = found.parts["model"].last.weight, []
    for _ in range(3):
        found.update(next(found.batches))
        history.append(weight.detach().clone())
    expected = history[0]  # the average starts at the first update
    for later in history[1:]:
        expected = torch.lerp(expected, later, 1 - DECAY)
    assert not torch.allclose(history[0], history[2])
    torch.testing.assert_close(found.model.last.weight, expected)
    assert set(found.parts) == {"model", "average", "optimizer"}


def test_other_times_and_another_batch_size_are_arguments():
    found = job(UNet(dim=8, multipliers=(1, 1), classes=10), digits(), batch_size=5, times=lambda b, n, g: n - b)
    x, y, t, eps = next(found.batches)
    assert len(x) == len(y) == len(eps) == 5 and t == 995


def test_drawn_images_have_their_classes_in_turn():
    image, _ = one_image()
    model = Answer("x0", image)
    images = draw(model, 25, ALPHA_BAR, 3, batch_size=10)
    assert images.shape == (25, 1, 28, 28)
    torch.testing.assert_close(images, image.expand(25, -1, -1, -1), atol=1e-5, rtol=0)
    by_batch = [y.tolist() for _, _, y in model.told[::3]]
    assert by_batch == [list(range(10)), list(range(10)), list(range(5))]
    assert [int(t[0]) for _, t, _ in model.told[:3]] == [999, 666, 332]
    noise = torch.cat([xt for xt, t, _ in model.told if t[0] == 999])
    assert len(noise.flatten(1).unique(dim=0)) == 25  # no two begin alike
    model.x0 = 9 * image
    assert draw(model, 2, ALPHA_BAR, 1).abs().max() == 1  # kept in range
    assert torch.equal(draw(UNet(kind="v"), 3, ALPHA_BAR, 2), draw(UNet(kind="v"), 3, ALPHA_BAR, 2))


def test_a_small_network_learns_something_from_a_few_steps():
    torch.manual_seed(0)
    found = job(UNet(dim=16, multipliers=(1, 1), classes=10, kind="v"), digits(512), batch_size=32)
    trace = [found.update(batch)["loss"].item() for batch in islice(found.batches, 60)]
    assert sum(trace[-10:]) < 0.6 * sum(trace[:10])


def changed(images):
    return Splits((images, digits().training[1]), (), "changed")


IMAGES = digits().training[0]
MISTAKES = [
    (changed((IMAGES + 1) / 2), r"from 0 to 1: expected floats in \[-1, 1\]"),
    (changed((IMAGES + 1) * 127.5), r"from 0 to 255: expected floats in \[-1, 1\]"),
    (changed(((IMAGES + 1) * 127.5).byte()), r"images of type torch.uint8 from 0 to 255: expected floats"),
    (changed(IMAGES * 1.5), r"from -1.5 to 1.5: expected"),
    (changed(IMAGES * math.nan), r"from nan to nan: expected"),
]


@pytest.mark.parametrize("splits, message", MISTAKES, ids=range(len(MISTAKES)))
def test_images_of_another_range_are_refused_before_the_training(splits, message):
    with pytest.raises(ValueError, match=message):
        job(UNet(dim=8, multipliers=(1, 1)), splits)


def test_other_mistakes_are_named():
    net = UNet(dim=8, multipliers=(1, 1), classes=10)
    with pytest.raises(ValueError, match="schedule of shape .*: expected .* below the one before"):
        job(net, digits(), ALPHA_BAR.flip(0))
    with pytest.raises(ValueError, match="batch_size 65: expected 1 to 64"):
        next(job(net, digits(), batch_size=65).batches)
    images, labels = digits().training
    found = job(net, Splits((images, labels + 20), (), "other classes"))
    with pytest.raises(ValueError, match="class .*: expected 0 to 9, or 10 for none"):
        found.update(next(found.batches))
    found = job(net, Splits((images[..., :27], labels), (), "narrow"))
    with pytest.raises(ValueError, match=r"\(64, 1, 28, 27\): expected .* multiples of 2"):
        found.update(next(found.batches))
    with pytest.raises(ValueError, match="1001 sampling steps: expected 1 to 1000"):
        draw(net, 2, ALPHA_BAR, 1001)


def test_the_recipe_trains_a_network_that_draws(tmp_path, little_data):
    recipe = recipes.recipe("ddpm_mnist")
    assert len(recipe.ALPHA_BAR) == 1000 and recipe.build().kind == "v" and recipe.build().classes == 10
    found = recipe.prepare(recipe.load_data(), SimpleNamespace(device="cpu", prepare=lambda *p: p), rng())
    assert len(next(found.batches)[0]) == 64
    recipes.train("ddpm_mnist", tmp_path, steps=2)
    model, card = recipes.load("ddpm_mnist", tmp_path), recipes.card("ddpm_mnist", tmp_path)
    assert {"fdd_20", "fdd_50", "precision_20", "recall_50"} <= card["metrics"].keys()
    assert card["metrics"]["n_20"] == card["metrics"]["n_50"] == 256
    assert all(math.isfinite(value) for value in card["metrics"].values())
    assert draw(model, 2, recipe.ALPHA_BAR, 2).shape == (2, 1, 28, 28)


@pytest.mark.skipif(
    not (recipes.SHIPPED / "ddpm_mnist.safetensors").exists(),
    reason="the checkpoint is still to be trained",
)
def test_the_checkpoint_draws_the_digits_it_is_asked_for():
    model, recipe = recipes.load("ddpm_mnist"), recipes.recipe("ddpm_mnist")
    images = draw(model, 100, recipe.ALPHA_BAR, 10)
    _, probabilities = recipes.digit_features()(images)
    right = probabilities.argmax(1) == torch.arange(100) % 10
    assert right.float().mean() > 0.85
