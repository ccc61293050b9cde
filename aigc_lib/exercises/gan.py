"""Checks for the exercises of the GAN chapter."""

import torch
import torch.nn.functional as F

from aigc_lib import losses
from aigc_lib.exercises.gan_game import dirac_step, r1, update_discriminator
from aigc_lib.exercises.verdict import Wrong, call, exercise, expect_shape, same

__all__ = [
    "discriminator_loss",
    "best_response",
    "js_divergence",
    "dirac_step",
    "r1",
    "update_discriminator",
    "modes",
]


@exercise
def discriminator_loss(answer):
    """answer(real, fake): logits (B,), (M,) -> (), the discriminator's loss in nats."""
    for b, m, scale in [(5, 5, 1.0), (3, 7, 2.0), (4, 4, 300.0)]:
        real, fake = torch.randn(b) * scale, torch.randn(m) * scale
        # D is wrong: with scale 300, log of a rounded probability is -inf.
        real[0], fake[0] = -scale, scale
        got = call(answer, real, fake)
        expect_shape(got, (), "one number for the batch")
        if not torch.isfinite(got):
            raise Wrong(
                "A logit of a few hundred gives inf or nan: "
                "the sigmoid rounds to 0 or 1. F.softplus does not."
            )
        true = losses.discriminator_loss(real, fake)
        if same(got, true):
            continue
        if same(got, -true):
            raise Wrong(
                "The sign is the other way round: D maximises V, so its *loss* is -V."
            )
        if same(got, losses.discriminator_loss(fake, real)):
            raise Wrong("You reward D for calling real samples fake: swap the roles.")
        if same(got, true / 2):
            raise Wrong("You average the two halves; the loss is their sum.")
        if same(got, F.softplus(-real).sum() + F.softplus(fake).sum()):
            raise Wrong(
                "You sum over the batch: "
                "average, or the loss grows with the batch size."
            )
        log_real = real.sigmoid().clamp(1e-45).log()
        log_fake = (1 - fake.sigmoid()).clamp(1e-45).log()
        if same(got, -(log_real.mean() + log_fake.mean())):
            raise Wrong(
                "Large logits lose their value: "
                "work with the logits, not with rounded probabilities."
            )
        if scale == 300.0:
            raise Wrong(
                "Right for small logits, wrong for large ones: "
                "a probability was rounded or clamped."
            )
        raise Wrong(
            "The value is off. All logits 0 must give 2 log 2; "
            "-log D is softplus(-logit)."
        )
    return "2 log 2 for a discriminator that cannot tell, 0 for one that always can."


@exercise
def best_response(answer):
    """answer(log_p, log_q): two (N,) log-densities, of data and generator -> (N,), the
    optimal D."""
    for n, shift in [(6, 0.0), (1, 3.0), (4, -500.0)]:
        log_p, log_q = torch.randn(n) + shift, torch.randn(n) + shift
        got = call(answer, log_p, log_q)
        expect_shape(got, (n,), "one probability per point")
        if not torch.isfinite(got).all():
            raise Wrong(
                "Densities like exp(-500) underflow and give 0/0: "
                "form the difference of the logarithms first."
            )
        true = torch.sigmoid(log_p - log_q)
        if same(got, true):
            continue
        if same(got, 1 - true):
            raise Wrong("That is the probability of being fake.")
        if same(got, log_p - log_q):
            raise Wrong("That is the optimal *logit*: D is its sigmoid.")
        if same(got, (log_p - log_q).exp()):
            raise Wrong("That is the odds p/q: the probability is odds / (1 + odds).")
        if same(got, log_p / (log_p + log_q)):
            raise Wrong("These are logarithms, not densities: p = exp(log p).")
        raise Wrong("The value is off. Equal densities must give 1/2.")
    return (
        "The best discriminator knows the ratio of the two densities, and nothing else."
    )


@exercise
def js_divergence(answer):
    """answer(real, fake): logits of the *optimal* discriminator, (B,) and (M,) -> (),
    the JS divergence in nats."""
    for b, m in [(6, 6), (3, 8)]:
        real, fake = torch.randn(b) + 1, torch.randn(m) - 1
        got = call(answer, real, fake)
        expect_shape(got, (), "one number")
        value = -losses.discriminator_loss(real, fake)
        log2 = torch.tensor(2.0).log()
        true = value / 2 + log2
        if same(got, true):
            continue
        if same(got, value + 2 * log2):
            raise Wrong("You are off by a factor of two: V = 2 JSD - 2 log 2.")
        if same(got, value / 2 - log2) or same(got, -true):
            raise Wrong(
                "Check a sign: for a D that cannot tell, "
                "V = -2 log 2 and the divergence is 0."
            )
        if same(got, value):
            raise Wrong("That is V itself: solve V = 2 JSD - 2 log 2 for JSD.")
        if same(got, true / log2):
            raise Wrong("That is in bits; the course counts in nats.")
        raise Wrong("The value is off. It must be 0 for logits 0 and at most log 2.")
    return "A D that is not optimal gives less: a lower bound on the divergence."


@exercise
def modes(answer):
    """answer(points, centres, radius, least): (N, 2), (K, 2) -> (), how many centres
    have `least` points near."""
    for radius, least in [(0.5, 3), (1.0, 2), (0.3, 5)]:
        # Two centres share their points, three have too few, two have theirs in the
        # corners of the square round the circle, one has plenty: so each mistake below
        # gives a count of its own.
        centres = radius * torch.tensor(
            [[0, 0], [1.2, 0], [8, 0], [16, 0], [24, 0], [0, 8], [8, 8], [16, 8]]
        )
        corners = [[0.9, 8.9], [8.9, 8.9]]
        places = [[0.4, 0], [8, 0.5], [16, 0.5], [24, 0.5], *corners, [16, 8.1]]
        often = torch.tensor([least] + 3 * [least - 1] + 3 * [least + 1])
        points = (radius * torch.tensor(places)).repeat_interleave(often, dim=0)
        got = call(answer, points, centres, radius, least)
        expect_shape(got.double(), (), "one count")  # in whole numbers or not
        distance = torch.cdist(points, centres)
        near = distance <= radius
        if same(got, (near.sum(0) >= least).sum()):
            continue
        nearest = F.one_hot(distance.argmin(1), len(centres)).bool()
        if same(got, (nearest.sum(0) >= least).sum()):
            raise Wrong(
                "You count every point for its nearest centre, however far away: "
                "use the radius."
            )
        if same(got, ((nearest & near).sum(0) >= least).sum()):
            raise Wrong("A point can lie near two centres: it counts for both.")
        if same(got, near.any(1).sum()) or same(got, near.sum()):
            raise Wrong(
                "You count the points that lie near some centre: count the centres."
            )
        if same(got, near.any(0).sum()):
            raise Wrong(
                "One point is not enough: a centre counts from `least` points on."
            )
        if same(got, (near.sum(0) > least).sum()):
            raise Wrong("Off by one: exactly `least` points are enough.")
        raise Wrong(
            "The value is off. Compare the length of the difference, not its square, "
            "with the radius."
        )
    return (
        "A generator that covers all modes can still cover them unevenly: "
        "this count does not see that."
    )
