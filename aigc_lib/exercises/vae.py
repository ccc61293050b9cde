"""Checks for the exercises of the VAE chapter."""

import torch

from aigc_lib import losses
from aigc_lib.exercises.vae_bits import entropy_bits, free_bits, iwae
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)

__all__ = [
    "gaussian_kl",
    "reparameterize",
    "interpolate",
    "negative_elbo",
    "free_bits",
    "iwae",
    "entropy_bits",
]


@exercise
def gaussian_kl(answer):
    """answer(mu, logvar): two (B, D) -> (B,), the KL divergence to N(0, I) in nats."""
    for shape in [(4, 3), (1, 5), (6, 1)]:
        mu, logvar = torch.randn(shape), torch.randn(shape)
        got = call(answer, mu, logvar)
        if got.shape == shape and shape[1] > 1:
            raise Wrong(
                "You return one value per latent dimension: "
                "sum over the dimensions, dim 1."
            )
        expect_shape(got, shape[:1], "one value per image in the batch")
        true = losses.gaussian_kl(mu, logvar)
        slips = [
            (
                -true,
                "The sign is the other way round: a KL divergence is never negative.",
            ),
            (2 * true, "You are off by a factor of two."),
            (
                true / shape[1],
                "You average over the latent dimensions: "
                "the KL of independent dimensions is their sum.",
            ),
            (
                losses.gaussian_kl(mu, 2 * logvar),
                "Check what exp(logvar) is: the variance, not the standard deviation.",
            ),
        ]
        hint = (
            "Try mu = 0 and logvar = 0, where it must be 0, "
            "then change one of the two at a time."
        )
        compare(got, true, slips, hint)
    return "For mu = 0 and logvar = 0 it is zero, and nowhere else."


@exercise
def reparameterize(answer):
    """answer(mu, logvar, eps): three (B, D) -> (B, D), a draw from N(mu, exp(logvar))
    made from eps."""
    for shape in [(5, 3), (1, 2)]:
        mu = torch.randn(shape, requires_grad=True)
        logvar = torch.randn(shape, requires_grad=True)
        eps = torch.randn(shape)
        got = call(answer, mu, logvar, eps)
        expect_shape(got, shape, "one code per image")
        if same(got, mu + logvar.exp() * eps):
            raise Wrong(
                "You scale the noise by the variance: "
                "the standard deviation is its square root."
            )
        if same(got, mu + logvar * eps):
            raise Wrong("You scale the noise by logvar itself, which can be negative.")
        expect_finite(
            got,
            "Some values are not finite: logvar may be negative, "
            "so take no root or logarithm of it.",
        )
        if not same(got, call(answer, mu, logvar, eps)):
            raise Wrong(
                "Two calls with the same eps differ: "
                "use the noise you are given, draw none of your own."
            )
        if not same(got, mu + (0.5 * logvar).exp() * eps):
            raise Wrong(
                "The value is off: eps = 0 must give mu, "
                "and eps = 1 one standard deviation more."
            )
        if not got.requires_grad:
            raise Wrong(
                "The value is right, but no gradient flows through it: "
                "what cuts z off from mu and logvar?"
            )
        grads = torch.autograd.grad(got.sum(), (mu, logvar), allow_unused=True)
        for name, grad in zip(("mu", "logvar"), grads, strict=True):
            if grad is None:
                raise Wrong(f"The value is right, but no gradient reaches {name}.")
    return "The noise is an input, so z is an ordinary function of mu and logvar."


@exercise
def interpolate(answer):
    """answer(z0, z1, n): (D,), (D,) -> (n, D), n evenly spaced codes from z0 to z1,
    both included."""
    for d, n in [(4, 5), (2, 2), (5, 5), (1, 9)]:
        z0, z1 = torch.randn(d), torch.randn(d)
        got = call(answer, z0, z1, n)
        if d != n and got.shape == (d, n):
            raise Wrong(
                f"Your result has shape ({d}, {n}): "
                f"the codes are the rows, so it should be ({n}, {d})."
            )
        expect_shape(got, (n, d), "one code per row")
        u = torch.linspace(0, 1, n)[:, None]
        if same(got, z0 + u * (z1 - z0)):
            continue
        if same(got, z1 + u * (z0 - z1)):
            raise Wrong("You walk from z1 to z0: the first row should be z0.")
        if same(got[0], z0) and not same(got[-1], z1):
            raise Wrong(
                "The first row is z0, but the last one is not z1: "
                "both ends belong to the walk."
            )
        if same(got[0], z0) and same(got[-1], z1):
            raise Wrong(
                "Both ends are right; the steps between them are not evenly spaced."
            )
        raise Wrong("The first row should be z0 and the last row z1.")
    return "Decode the rows and watch one digit become another."


@exercise
def negative_elbo(answer):
    """answer(logits, x, kl): two (B, 1, 28, 28), (B,) -> (), -ELBO, nats per image."""
    for b, scale in ((3, 1), (1, 1), (5, 200)):
        logits = scale * torch.randn(b, 1, 28, 28)
        x, kl = torch.rand(b, 1, 28, 28) * 2 - 1, torch.rand(b) * 30
        nll = losses.bernoulli_nll(logits, x)
        got = call(answer, logits.clone(), x.clone(), kl.clone())
        expect_shape(got, (), "one number: the mean over the images of the batch")
        overflow = (
            "Large logits overflow: a sigmoid reaches 0 or 1, "
            "its logarithm infinity. Use F.softplus."
        )
        expect_finite(got, overflow)
        slips = [
            (-(nll + kl).mean(), "That is the ELBO: the loss is its negative."),
            (
                nll.sum() + kl.mean(),
                "You sum one of the two terms over the images: "
                "average both over the batch.",
            ),
            (
                nll.mean() + kl.sum(),
                "You sum one of the two terms over the images: "
                "average both over the batch.",
            ),
            (
                (nll + kl).sum(),
                "You sum over the images: average over the batch, "
                "or the loss grows with the batch size.",
            ),
            (
                nll.mean() / 784 + kl.mean(),
                "You average over the pixels: a hidden weight of 784 on the KL.",
            ),
            (
                (nll - kl).mean(),
                "The KL has the wrong sign: it is a cost, and you minimise.",
            ),
            (nll.mean(), "Your result is the reconstruction term alone."),
        ]
        hint = "Did you map x from [-1, 1] to [0, 1], and use the logits as logits?"
        compare(got, (nll + kl).mean(), slips, hint)
    return "Sums over dimensions, a mean over images."
