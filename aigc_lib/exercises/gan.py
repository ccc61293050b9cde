"""Checks for the exercises of the GAN chapter."""

import torch
import torch.nn.functional as F

from aigc_lib import losses
from aigc_lib.exercises.gan_game import dirac_step, r1, update_discriminator
from aigc_lib.exercises.verdict import (
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)

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
        expect_finite(
            got,
            "A logit of a few hundred gives inf or nan: "
            "the sigmoid rounds to 0 or 1. F.softplus does not.",
        )
        true = losses.discriminator_loss(real, fake)
        wrong_if_large = (
            "It is right for small logits, wrong for large ones: "
            "a probability was rounded or clamped."
        )
        log_real = real.sigmoid().clamp(1e-45).log()
        log_fake = (1 - fake.sigmoid()).clamp(1e-45).log()
        slips = [
            (
                -true,
                "The sign is the other way round: D maximises V, so its *loss* is -V.",
            ),
            (
                losses.discriminator_loss(fake, real),
                "You reward D for calling real samples fake: swap the roles.",
            ),
            (true / 2, "You average the two halves; the loss is their sum."),
            (
                F.softplus(-real).sum() + F.softplus(fake).sum(),
                "You sum over the batch: "
                "average, or the loss grows with the batch size.",
            ),
            (
                -(log_real.mean() + log_fake.mean()),
                "Large logits lose their value: "
                "work with the logits, not with rounded probabilities.",
            ),
        ]
        hint = "All logits 0 must give 2 log 2; -log D is softplus(-logit)."
        if scale == 300.0:
            hint = wrong_if_large
        compare(got, true, slips, hint)
    return "2 log 2 for a discriminator that cannot tell, 0 for one that always can."


@exercise
def best_response(answer):
    """answer(log_p, log_q): two (N,) log-densities, of data and generator -> (N,), the
    optimal D."""
    for n, shift in [(6, 0.0), (1, 3.0), (4, -500.0)]:
        log_p, log_q = torch.randn(n) + shift, torch.randn(n) + shift
        got = call(answer, log_p, log_q)
        expect_shape(got, (n,), "one probability per point")
        expect_finite(
            got,
            "Densities like exp(-500) underflow and give 0/0: "
            "form the difference of the logarithms first.",
        )
        true = torch.sigmoid(log_p - log_q)
        slips = [
            (1 - true, "That is the probability of being fake."),
            (log_p - log_q, "That is the optimal *logit*: D is its sigmoid."),
            (
                (log_p - log_q).exp(),
                "That is the odds p/q: the probability is odds / (1 + odds).",
            ),
            (
                log_p / (log_p + log_q),
                "These are logarithms, not densities: p = exp(log p).",
            ),
        ]
        hint = "Equal densities must give 1/2."
        compare(got, true, slips, hint)
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
        slips = [
            (value + 2 * log2, "You are off by a factor of two: V = 2 JSD - 2 log 2."),
            (
                value / 2 - log2,
                "Check a sign: for a D that cannot tell, "
                "V = -2 log 2 and the divergence is 0.",
            ),
            (
                -true,
                "Check a sign: for a D that cannot tell, "
                "V = -2 log 2 and the divergence is 0.",
            ),
            (value, "That is V itself: solve V = 2 JSD - 2 log 2 for JSD."),
            (true / log2, "That is in bits; the course counts in nats."),
        ]
        hint = "It must be 0 for logits 0 and at most log 2."
        compare(got, true, slips, hint)
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
        nearest = F.one_hot(distance.argmin(1), len(centres)).bool()
        slips = [
            (
                (nearest.sum(0) >= least).sum(),
                "You count every point for its nearest centre, however far away: "
                "use the radius.",
            ),
            (
                ((nearest & near).sum(0) >= least).sum(),
                "A point can lie near two centres: it counts for both.",
            ),
            (
                near.any(1).sum(),
                "You count the points that lie near some centre: count the centres.",
            ),
            (
                near.sum(),
                "You count the points that lie near some centre: count the centres.",
            ),
            (
                near.any(0).sum(),
                "One point is not enough: a centre counts from `least` points on.",
            ),
            (
                (near.sum(0) > least).sum(),
                "Off by one: exactly `least` points are enough.",
            ),
        ]
        hint = "Compare the length of the difference, not its square, with the radius."
        compare(got, (near.sum(0) >= least).sum(), slips, hint)
    return (
        "A generator that covers all modes can still cover them unevenly: "
        "this count does not see that."
    )
