"""Checks for the exercises of the chapter on discrete codes."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)
from aigc_lib.exercises.vqvae_codes import ema_step, fsq_tokens, residual

__all__ = [
    "perplexity",
    "round_through",
    "ema_step",
    "gumbel_softmax",
    "fsq_tokens",
    "residual",
    "image_bits",
]


@exercise
def perplexity(answer):
    """answer(tokens, K): (B, h, w) int64, int -> (), exp of the shares' entropy."""
    equal = torch.arange(6).repeat(4).view(2, 3, 4)  # six codes of eight, equally often
    random = torch.randint(9, (3, 5, 5)) * torch.randint(2, (3, 5, 5))
    for tokens, K in ((random, 12), (equal, 8), (torch.zeros(1, 2, 2).long(), 5)):
        got = call(answer, tokens, K)
        expect_shape(got, (), "one number for all tokens together")
        expect_finite(got, "Some codes never occur: what does a share of 0 add?")
        p = torch.bincount(tokens.flatten(), minlength=K) / tokens.numel()
        entropy = torch.special.entr(p).sum()
        used = (p > 0).sum().float()
        slips = [
            (
                entropy,
                "That is the entropy in nats: you lack the exponential.",
            ),
            (
                entropy / math.log(2),
                "That is the entropy in bits: the perplexity is a number of codes.",
            ),
            (
                (entropy / math.log(2)).exp(),
                "You mix bits and nats: e goes with the natural logarithm.",
            ),
            (
                (-entropy).exp(),
                "The sign is wrong: an entropy is minus the sum of p log p.",
            ),
            (
                (entropy / K).exp(),
                "You average p log p over the codes: an entropy is their sum.",
            ),
        ]
        if not same(entropy.exp(), used):
            slips.append((used, "You count the codes that occur, not how often."))
        hint = "Six codes, equally often, must give 6, and one code alone 1."
        compare(got, entropy.exp(), slips, hint)
    return "It is the number of equally frequent codes with the same entropy."


@exercise
def round_through(answer):
    """answer(x): (N,) -> (N,), rounded, with the gradient of x."""
    for n in (5, 1, 40):
        x = (4 * torch.randn(n)).requires_grad_()
        got = call(answer, x)
        expect_shape(got, (n,), "one whole number for each input")
        if not same(got, x.round()):
            if same(got, x):
                raise Wrong("The value is still x: it should be x.round().")
            raise Wrong("The value is off: it should be x.round().")
        if not got.requires_grad:
            raise Wrong(
                "The value is right, but nothing connects it with x: "
                "only the correction may be detached."
            )
        upstream = torch.randn(n)
        grad = torch.autograd.grad(got, x, upstream, allow_unused=True)[0]
        if grad is None:
            raise Wrong("The value is right, but no gradient reaches x.")
        if not grad.any():
            raise Wrong(
                "The value is right, and the gradient that arrives is 0: "
                "rounding is flat, so its own slope must be kept out."
            )
        if not same(grad, upstream):
            raise Wrong(
                "The value is right, but the gradient is changed on its way: "
                "each x should get exactly what its rounded value gets."
            )
    return "Forward a staircase, backward a straight line."


@exercise
def gumbel_softmax(answer):
    """answer(logits, u, temperature): two (B, K), u uniform -> weights (B, K)."""
    for b, k, tau in ((4, 5, 0.7), (5, 3, 2.0), (1, 6, 0.1)):
        logits, u = 2 * torch.randn(b, k), torch.rand(b, k).clamp(1e-4, 1 - 1e-4)
        got = call(answer, logits, u, tau)
        expect_shape(got, (b, k), "one weight for each code")
        noise = -(-u.log()).log()
        expect_finite(got, "A logarithm got a negative number: log u is one.")
        true = ((logits + noise) / tau).softmax(1)
        slips = [
            (
                ((logits + noise) * tau).softmax(1),
                "You multiply by the temperature: divide, so that a low one is sharp.",
            ),
            (
                (logits / tau + noise).softmax(1),
                "Only the logits are divided by the temperature: divide the sum.",
            ),
            ((logits / tau).softmax(1), "There is no noise in your result."),
            (
                ((logits + u) / tau).softmax(1),
                "You add the uniform numbers: turn them into Gumbel noise first.",
            ),
            (
                ((logits - noise) / tau).softmax(1),
                "The noise has the wrong sign: it is -log(-log u).",
            ),
            (
                (logits + noise) / tau,
                "These are logits still: the weights are their softmax.",
            ),
            (
                F.one_hot((logits + noise).argmax(1), k).float(),
                "That is the hard draw, which has no gradient: use a softmax.",
            ),
            (
                ((logits + noise) / tau).softmax(0),
                "Your softmax runs over the batch: the codes are dim 1.",
            ),
            (
                ((logits.softmax(1) + noise) / tau).softmax(1),
                "You add noise to probabilities: add it to the logits.",
            ),
        ]
        hint = "Add -log(-log u) to the logits, divide, and take a softmax over codes."
        compare(got, true, slips, hint)
    return "As the temperature falls, the weights become a draw from the softmax."


@exercise
def image_bits(answer):
    """answer(logits, tokens): (B, T, K), (B, T) int64 -> bits of each image, (B,)."""
    for b, t, k, scale in ((3, 4, 5, 1), (1, 7, 3, 1), (4, 3, 6, 300)):
        logits, tokens = scale * torch.randn(b, t, k), torch.randint(k, (b, t))
        got = call(answer, logits, tokens)
        each = F.cross_entropy(
            logits.transpose(1, 2), tokens, reduction="none"
        )  # (B, T)
        if got.shape == (b, t) and t > 1:
            raise Wrong("You return a price for each token: an image pays for all.")
        expect_shape(got, (b,), "one price for each image")
        expect_finite(got, "Large logits: take log_softmax, no logarithm of a softmax.")
        bits = each.sum(1) / math.log(2)
        slips = [
            (each.sum(1), "That is in nats: divide by log 2."),
            (each.sum(1) * math.log(2), "Nats become bits by a division by log 2."),
            (
                each.mean(1) / math.log(2),
                "You average over the tokens: by the chain rule it is a sum.",
            ),
            (each.mean(1), "You average over the tokens, and the unit is nats."),
            (-bits, "The sign is wrong: a price is minus the log-probability."),
            (
                torch.full((b,), t * math.log2(k)),
                "Every image costs the same: that is the price under a uniform prior.",
            ),
        ]
        hint = "Is it the probability of the token that stands there, at each place?"
        compare(got, bits, slips, hint)
    return "The chain rule turns a product of probabilities into a sum of bits."
