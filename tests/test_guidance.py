"""Guidance: exact at w = 0 and w = 1, the same in every parameterisation, and exact classifiers do what they should."""

import math

import pytest
import torch

from aigc_lib import diffusion
from aigc_lib.data.mixture import Mixture
from aigc_lib.data.toy import ring
from aigc_lib.models.unet_fast import FastUNet
from aigc_lib.sample.diffusion import ddim, denoiser, last, timesteps
from aigc_lib.sample.guidance import by_classifier, guided, limited, rescaled, thresholded

ALPHA_BAR = diffusion.cosine_schedule(1000)
RING = ring(8, 2.0, 0.3)
MEANS, VARIANCE = RING.means.double(), 0.3**2
CLASSES = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])  # the class of each Gaussian


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def constant(x0):
    return lambda xt, t: x0


def log_joint(xt, t):
    """log of weight times density of each of the ring's Gaussians, under the noise of one time t."""
    a = diffusion.at(ALPHA_BAR, t, xt)
    squared = (xt[:, None] - a.sqrt()[:, None] * MEANS).square().sum(2)
    return -squared / (2 * (a * VARIANCE + 1 - a))  # (B, 8), but for a constant


def classify(xt, t):
    """Exact logits of both classes: (B, 2)."""
    log_p = log_joint(xt, t)
    return torch.stack([log_p[:, CLASSES == c].logsumexp(1) for c in (0, 1)], 1)


def exact(c=None):
    """The posterior mean of x0, over the Gaussians of one class or of all."""

    def denoise(xt, t):
        a = diffusion.at(ALPHA_BAR, t, xt)[:, None]
        log_p = log_joint(xt, t)
        if c is not None:
            log_p = log_p.masked_fill(CLASSES != c, -math.inf)
        shrink = a.sqrt() * VARIANCE / (a * VARIANCE + 1 - a)
        each = MEANS + shrink * (xt[:, None] - a.sqrt() * MEANS)  # (B, 8, 2)
        return (log_p.softmax(1)[..., None] * each).sum(1)

    return denoise


def test_w_of_0_and_1_are_the_two_denoisers_themselves():
    towards, away = exact(0), exact()
    assert guided(towards, away, 1) is towards and guided(towards, away, 0) is away
    xt, t = noise(5, 2), torch.full((5,), 400)
    for w, alone in ((1 + 1e-12, towards), (1e-12, away)):  # and the formula has no jump there
        torch.testing.assert_close(guided(towards, away, w)(xt, t), alone(xt, t))


def test_guidance_is_the_line_through_both_and_the_w_of_ho_and_salimans_is_one_less():
    towards, away, xt, t = exact(0), exact(), noise(5, 2), torch.full((5,), 400)
    for w in (-1.0, 0.5, 2.0, 7.5):
        found = guided(towards, away, w)(xt, t)
        theirs = (1 + (w - 1)) * towards(xt, t) - (w - 1) * away(xt, t)
        torch.testing.assert_close(found, theirs)


@pytest.mark.parametrize("kind", diffusion.KINDS)
def test_guiding_the_output_of_any_kind_guides_x0(kind):
    x0_towards, x0_away, xt = noise(3, 1, 4, 4), noise(3, 1, 4, 4, seed=1), noise(3, 1, 4, 4, seed=2)
    for time in (0, 500, 990):
        t, w = torch.full((3,), time), 3.0
        outputs = []
        for x0 in (x0_towards, x0_away):
            eps = diffusion.to_eps(x0, xt, t, ALPHA_BAR)
            outputs.append(diffusion.target(kind, x0, t, eps, ALPHA_BAR))
        output = outputs[1] + w * (outputs[0] - outputs[1])
        found = diffusion.to_x0(kind, output, xt, t, ALPHA_BAR)
        wanted = guided(constant(x0_towards), constant(x0_away), w)(xt, t)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("time", [0, 300, 700, 999])
def test_an_exact_classifier_turns_the_exact_denoiser_into_that_of_the_class(time):
    xt, t = noise(40, 2), torch.full((40,), time)
    for c in (0, 1):
        y = torch.full((40,), c)
        found = by_classifier(exact(), classify, y, 1.0, ALPHA_BAR)(xt, t)
        torch.testing.assert_close(found, exact(c)(xt, t), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(by_classifier(exact(), classify, y, 0.0, ALPHA_BAR)(xt, t), exact()(xt, t))


def test_with_an_exact_classifier_both_kinds_of_guidance_are_one():
    xt, t, y = noise(40, 2), torch.full((40,), 600), torch.zeros(40, dtype=torch.int64)
    found = by_classifier(exact(), classify, y, 3.0, ALPHA_BAR)(xt, t)
    torch.testing.assert_close(found, guided(exact(0), exact(), 3.0)(xt, t))


def test_a_classifier_is_asked_for_each_image_s_own_class_and_keeps_no_gradient():
    net = torch.nn.Linear(2, 3).double()
    xt, t, y = noise(4, 2), torch.full((4,), 500), torch.tensor([0, 2, 1, 2])
    a = ALPHA_BAR[500]
    with torch.no_grad():
        found = by_classifier(constant(xt), lambda x, t: net(x), y, 2.0, ALPHA_BAR)(xt, t)
    p = net(xt).softmax(1)
    gradient = net.weight[y] - p @ net.weight  # of log softmax, by hand
    torch.testing.assert_close(found, (xt + 2 * (1 - a) / a.sqrt() * gradient).detach())
    assert not found.requires_grad and net.weight.grad is None and not xt.requires_grad


def test_the_class_that_is_asked_for_is_drawn():
    times, x = timesteps(1000, 60), noise(400, 2)
    for w in (1.0, 3.0):
        drawn = last(ddim(guided(exact(0), exact(), w), x, ALPHA_BAR, times))
        nearest = torch.cdist(drawn, MEANS).argmin(1)
        assert (CLASSES[nearest] == 0).double().mean() > 0.97  # the Gaussians overlap a little
        middle = (nearest == 1).double().mean()
        assert middle < 0.5 if w == 1 else middle > 0.6  # w = 3 does not draw thirds


def test_guiding_a_gaussian_shrinks_its_variance_geometrically():
    """The probability flow turns N(0, s2) and N(0, S2) into s2 (s2 / S2)^(w - 1); the tilted density is wider."""
    s2, S2, w = 0.25, 1.0, 3.0

    def gaussian(variance):
        return lambda xt, t: ALPHA_BAR[t[0]].sqrt() * variance / (ALPHA_BAR[t[0]] * (variance - 1) + 1) * xt

    one = torch.ones(1, 1, dtype=torch.float64)
    steered = guided(gaussian(s2), gaussian(S2), w)
    drawn = last(ddim(steered, one, ALPHA_BAR, timesteps(1000, 1000)))
    assert drawn.item() ** 2 == pytest.approx(s2 * (s2 / S2) ** (w - 1), rel=0.05)
    tilted = 1 / (w / s2 - (w - 1) / S2)
    assert drawn.item() ** 2 < 0.5 * tilted


def test_rescaling_by_everything_gives_the_plain_deviation_and_by_nothing_changes_nothing():
    steered, plain = 3 * noise(4, 1, 6, 6), noise(4, 1, 6, 6, seed=1)
    xt, t = steered, torch.zeros(4, dtype=torch.int64)
    whole = rescaled(constant(steered), constant(plain), 1.0)(xt, t)
    torch.testing.assert_close(whole.flatten(1).std(1), plain.flatten(1).std(1))
    ratio = whole / steered
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))  # one factor for an image
    torch.testing.assert_close(rescaled(constant(steered), constant(plain), 0.0)(xt, t), steered)
    half = rescaled(constant(steered), constant(plain), 0.5)(xt, t)
    torch.testing.assert_close(half, (whole + steered) / 2)


def test_thresholding_keeps_what_is_inside_and_brings_in_what_is_outside():
    inside = noise(3, 1, 10, 10).clamp(-1, 1)
    t = torch.zeros(3, dtype=torch.int64)
    torch.testing.assert_close(thresholded(constant(inside))(inside, t), inside)
    outside = 4 * noise(3, 1, 10, 10)
    found = thresholded(constant(outside), 0.9)(outside, t)
    assert found.abs().max() == 1
    bound = outside.flatten(1).abs().quantile(0.9, dim=1).view(3, 1, 1, 1)
    kept = outside.abs() <= bound
    torch.testing.assert_close(found[kept], (outside / bound)[kept])
    few = inside.clone()
    few[:, :, 0, 0] = 5.0  # one pixel of a hundred: the quantile is inside, so it is cut alone
    found = thresholded(constant(few), 0.9)(few, t)
    torch.testing.assert_close(found, few.clamp(-1, 1))


def test_each_image_has_its_own_threshold():
    x0 = torch.stack([torch.full((1, 2, 2), 8.0), torch.full((1, 2, 2), 0.5)]).double()
    found = thresholded(constant(x0))(x0, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(found.amax((1, 2, 3)), torch.tensor([1.0, 0.5]).double())


def test_a_limited_interval_includes_its_first_time_and_not_its_end():
    one, other = torch.ones(4, 2), torch.zeros(4, 2)
    denoise = limited(constant(one), constant(other), 200, 800)
    for time, wanted in ((199, other), (200, one), (799, one), (800, other)):
        torch.testing.assert_close(denoise(one, torch.full((4,), time)), wanted)
    mixed = denoise(one, torch.tensor([0, 300, 799, 900]))
    torch.testing.assert_close(mixed[:, 0], torch.tensor([0.0, 1.0, 1.0, 0.0]))


def test_outside_of_the_interval_the_steered_denoiser_is_not_asked():
    def never(xt, t):
        raise AssertionError("this costs time")

    x = torch.zeros(2, 2)
    limited(never, constant(x), 200, 800)(x, torch.full((2,), 900))
    limited(constant(x), never, 200, 800)(x, torch.full((2,), 500))


def test_all_of_it_runs_on_images_of_our_network():
    torch.manual_seed(0)
    net = FastUNet(dim=8, middle=32, blocks=1, width=16).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    y, x = torch.tensor([4, 4, 9]), torch.randn(3, 1, 28, 28)
    towards, away = denoiser(net, ALPHA_BAR, y), denoiser(net, ALPHA_BAR)
    steered = guided(towards, away, 4.0)
    middle = limited(steered, towards, 200, 800)
    for denoise in (steered, rescaled(steered, towards), thresholded(steered), middle):
        drawn = last(ddim(denoise, x, ALPHA_BAR, timesteps(1000, 5)))
        assert drawn.shape == x.shape and drawn.isfinite().all()
    nothing = torch.full_like(y, net.classes)
    torch.testing.assert_close(denoiser(net, ALPHA_BAR, nothing)(x, y), away(x, y))  # y = 10 says what None says


@pytest.mark.parametrize("w", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(w):
    with pytest.raises(ValueError, match="finite"):
        guided(exact(), exact(), w)
    with pytest.raises(ValueError, match="finite"):
        by_classifier(exact(), classify, torch.zeros(2).long(), w, ALPHA_BAR)


@pytest.mark.parametrize("y", [[0, 2], [-1, 0], [0], [[0], [1]]])
def test_an_unknown_class_is_refused(y):
    denoise = by_classifier(exact(), classify, torch.tensor(y), 1.0, ALPHA_BAR)
    with pytest.raises(ValueError, match="from 0 to 1"):
        denoise(noise(2, 2), torch.full((2,), 5))


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        rescaled(exact(), exact(), share)
    with pytest.raises(ValueError, match="share"):
        thresholded(exact(), share)


def test_a_quantile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="more than 0"):
        thresholded(exact(), 0.0)


@pytest.mark.parametrize("first, end", [(-1, 5), (5, 5), (7, 3)])
def test_an_empty_interval_is_refused(first, end):
    with pytest.raises(ValueError, match="0 <= first < end"):
        limited(exact(), exact(), first, end)


def test_the_toy_is_the_library_s_mixture():
    """The formulas above agree with `Mixture`, which knows nothing of diffusion."""
    xt, t = noise(6, 2), torch.full((6,), 300)
    a = ALPHA_BAR[300]
    covariances = (a * VARIANCE + 1 - a) * torch.eye(2, dtype=torch.float64).expand(8, 2, 2)
    noisy = Mixture(RING.weights.double(), a.sqrt() * MEANS, covariances)
    difference = noisy.log_joint(xt) - log_joint(xt, t)
    torch.testing.assert_close(difference, difference[:1, :1].expand(6, 8))
    x = xt.clone().requires_grad_()
    (score,) = torch.autograd.grad(noisy.log_prob(x).sum(), x)
    torch.testing.assert_close((xt + (1 - a) * score) / a.sqrt(), exact()(xt, t))
