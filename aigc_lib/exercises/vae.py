"""Checks for the exercises of the VAE chapter."""

import torch

from aigc_lib import losses
from aigc_lib.exercises.verdict import Wrong, call, exercise, expect_shape, same


@exercise
def gaussian_kl(answer):
    """answer(mu, logvar): (B, D), (B, D) -> (B,), the KL divergence to N(0, I) in nats."""
    for shape in [(4, 3), (1, 5), (6, 1)]:
        mu, logvar = torch.randn(shape), torch.randn(shape)
        got = call(answer, mu, logvar)
        if got.shape == shape and shape[1] > 1:
            raise Wrong("You return one value per latent dimension: sum over the dimensions, dim 1.")
        expect_shape(got, shape[:1], "one value per image in the batch")
        true = losses.gaussian_kl(mu, logvar)
        if same(got, true):
            continue
        if same(got, -true):
            raise Wrong("The sign is the other way round: a KL divergence is never negative.")
        if same(got, 2 * true):
            raise Wrong("You are off by a factor of two.")
        if same(got, true / shape[1]):
            raise Wrong("You average over the latent dimensions: the KL of independent dimensions is their sum.")
        if same(got, losses.gaussian_kl(mu, 2 * logvar)):
            raise Wrong("Check what exp(logvar) is: the variance, not the standard deviation.")
        raise Wrong(
            "The value is off. Try mu = 0 and logvar = 0, where it must be 0, then change one of the two at a time."
        )
    return "For mu = 0 and logvar = 0 it is zero, and nowhere else."


@exercise
def reparameterize(answer):
    """answer(mu, logvar, eps): three (B, D) -> (B, D), a draw from N(mu, exp(logvar)) made from eps."""
    for shape in [(5, 3), (1, 2)]:
        mu = torch.randn(shape, requires_grad=True)
        logvar = torch.randn(shape, requires_grad=True)
        eps = torch.randn(shape)
        got = call(answer, mu, logvar, eps)
        expect_shape(got, shape, "one code per image")
        if same(got, mu + logvar.exp() * eps):
            raise Wrong("You scale the noise by the variance: the standard deviation is its square root.")
        if same(got, mu + logvar * eps):
            raise Wrong("You scale the noise by logvar itself, which can be negative.")
        if not torch.isfinite(got).all():
            raise Wrong("Some values are not finite: logvar may be negative, so take no root or logarithm of it.")
        if not same(got, call(answer, mu, logvar, eps)):
            raise Wrong("Two calls with the same eps differ: use the noise you are given, draw none of your own.")
        if not same(got, mu + (0.5 * logvar).exp() * eps):
            raise Wrong("The value is off: eps = 0 must give mu, and eps = 1 one standard deviation more.")
        if not got.requires_grad:
            raise Wrong("The value is right, but no gradient flows through it: what cuts z off from mu and logvar?")
        grads = torch.autograd.grad(got.sum(), (mu, logvar), allow_unused=True)
        if grads[0] is None or grads[1] is None:
            raise Wrong(f"The value is right, but no gradient reaches {'mu' if grads[0] is None else 'logvar'}.")
    return "The noise is an input, so z is an ordinary function of mu and logvar."


@exercise
def interpolate(answer):
    """answer(z0, z1, n): (D,), (D,) -> (n, D), n evenly spaced codes from z0 to z1, both included."""
    for d, n in [(4, 5), (2, 2), (5, 5), (1, 9)]:
        z0, z1 = torch.randn(d), torch.randn(d)
        got = call(answer, z0, z1, n)
        if d != n and got.shape == (d, n):
            raise Wrong(f"Your result has shape ({d}, {n}): the codes are the rows, so it should be ({n}, {d}).")
        expect_shape(got, (n, d), "one code per row")
        u = torch.linspace(0, 1, n)[:, None]
        if same(got, z0 + u * (z1 - z0)):
            continue
        if same(got, z1 + u * (z0 - z1)):
            raise Wrong("You walk from z1 to z0: the first row should be z0.")
        if same(got[0], z0) and not same(got[-1], z1):
            raise Wrong("The first row is z0, but the last one is not z1: both ends belong to the walk.")
        if same(got[0], z0) and same(got[-1], z1):
            raise Wrong("Both ends are right; the steps between them are not evenly spaced.")
        raise Wrong("The first row should be z0 and the last row z1.")
    return "Decode the rows and watch one digit become another."


@exercise
def negative_elbo(answer):
    """answer(logits, x, kl): (B, 1, 28, 28) twice, (B,) -> (), -ELBO in nats per image."""
    for b, scale in ((3, 1), (1, 1), (5, 200)):
        logits, x, kl = scale * torch.randn(b, 1, 28, 28), torch.rand(b, 1, 28, 28) * 2 - 1, torch.rand(b) * 30
        nll = losses.bernoulli_nll(logits, x)
        got = call(answer, logits.clone(), x.clone(), kl.clone())
        expect_shape(got, (), "one number: the mean over the images of the batch")
        if same(got, (nll + kl).mean()):
            continue
        if not torch.isfinite(got):
            raise Wrong("Large logits overflow: a sigmoid reaches 0 or 1, its logarithm infinity. Use F.softplus.")
        if same(got, -(nll + kl).mean()):
            raise Wrong("That is the ELBO: the loss is its negative.")
        if b > 1 and (same(got, nll.sum() + kl.mean()) or same(got, nll.mean() + kl.sum())):
            raise Wrong("You sum one of the two terms over the images: average both over the batch.")
        if b > 1 and same(got, (nll + kl).sum()):
            raise Wrong("You sum over the images: average over the batch, or the loss grows with the batch size.")
        if same(got, nll.mean() / 784 + kl.mean()):
            raise Wrong("You average over the pixels: that is a hidden weight of 784 on the KL.")
        if same(got, (nll - kl).mean()):
            raise Wrong("The KL has the wrong sign: it is a cost, and you minimise.")
        if same(got, nll.mean()):
            raise Wrong("Your result is the reconstruction term alone.")
        raise Wrong("The value is off. Did you map x from [-1, 1] to [0, 1], and use the logits as logits?")
    return "Sums over dimensions, a mean over images."


@exercise
def free_bits(answer):
    """answer(kl, free): (B, D), float -> (), the sum over latents of max(mean KL, free)."""
    for (b, d), free in [((6, 4), 0.5), ((3, 7), 0.2), ((1, 2), 1.0)]:
        kl = torch.rand(b, d) * 2 * free
        got = call(answer, kl, free)
        expect_shape(got, (), "one number for the whole batch")
        if same(got, kl.mean(0).clamp(min=free).sum()):
            continue
        if b > 1 and same(got, kl.clamp(min=free).mean(0).sum()):
            raise Wrong("You clamp each image: average over the batch first, then clamp each latent.")
        if same(got, kl.mean(0).clamp(max=free).sum()):
            raise Wrong("You clamp from above: a latent may cost more than the free amount, never less.")
        if same(got, kl.mean(0).sum().clamp(min=free)) or same(got, kl.mean(0).sum().clamp(min=free * d)):
            raise Wrong("You clamp the sum: each latent has a free amount of its own.")
        if same(got, (kl.mean(0) - free).clamp(min=0).sum()):
            raise Wrong("You subtract the free amount; its gradient is the same, but the value is not what was asked.")
        raise Wrong("The value is off: average over dim 0, clamp, sum over the latents.")
    return "Below the free amount the gradient is zero, so nothing pushes that latent towards the prior."


@exercise
def iwae(answer):
    """answer(log_weights): (k, B) -> (B,), -log of the mean weight."""
    for shape, shift in [((5, 3), 0.0), ((1, 4), 0.0), ((8, 8), -900.0), ((4, 2), 300.0)]:
        log_w = torch.randn(shape) + shift * torch.linspace(1, 0.5, shape[1])  # images differ widely
        got = call(answer, log_w)
        expect_shape(got, shape[1:], "one bound per image: the draws are dim 0")
        if not torch.isfinite(got).all():
            raise Wrong("Weights like exp(-900) underflow: stay in logarithms (torch.logsumexp).")
        total = torch.logsumexp(log_w, 0)
        k = torch.tensor(float(shape[0]))
        if same(got, k.log() - total):
            continue
        if same(got, total - k.log()):
            raise Wrong("The sign is the other way round: the bound is on -log p(x).")
        if same(got, -total):
            raise Wrong("You sum the weights: the bound holds for their mean.")
        if same(got, -log_w.mean(0)):
            raise Wrong("You average outside the logarithm: that is the ELBO, the looser bound.")
        raise Wrong(
            "The value is off. Equal weights w must give -log w, for any k; one dominant weight costs log k more."
        )
    return "With more draws the bound falls towards -log p(x)."


@exercise
def entropy_bits(answer):
    """answer(symbols): (N, D) int64 -> (), the sum over columns of the entropy in bits."""
    for n, d, kinds in [(64, 3, 4), (50, 1, 2), (40, 5, 7)]:
        symbols = torch.randint(-kinds, kinds, (n, d)) * (torch.rand(n, d) < 0.7)
        got = call(answer, symbols)
        expect_shape(got, (), "one number: bits per image")
        shares = [c.unique(return_counts=True)[1].double() / n for c in symbols.T]
        true = -sum((p * p.log2()).sum() for p in shares)
        if same(got, true):
            continue
        if not torch.isfinite(got):
            raise Wrong("Not a finite number: 0 * log2(0) is nan in floating point, but its limit is 0.")
        if same(got, true * torch.tensor(2.0).log()):
            raise Wrong("That is the entropy in nats: bits use the logarithm to base 2.")
        if d > 1 and same(got, true / d):
            raise Wrong("You average over the latents: the coder pays for each of them.")
        if same(got, -true):
            raise Wrong("The sign is the other way round: a number of bits is positive.")
        if same(got, n * true):
            raise Wrong("That is the bill for all images: give the bits per image.")
        joint = symbols.flatten().unique(return_counts=True)[1].double() / symbols.numel()
        if d > 1 and same(got, -d * (joint * joint.log2()).sum()):
            raise Wrong("You count all latents in one table: each latent has frequencies of its own.")
        raise Wrong("The value is off. A latent that always has the same value costs 0 bits; a fair coin costs 1.")
    return "The entropy is what an arithmetic coder reaches, up to a bit or two in all."
