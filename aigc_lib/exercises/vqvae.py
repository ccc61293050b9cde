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
    "ema_step",
    "hard_draw",
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
def hard_draw(answer):
    """answer(logits, u, temperature): two (B, K), u uniform -> one-hot (B, K).

    Its gradient is that of the soft weights.
    """
    for b, k, tau in ((40, 5, 0.7), (50, 3, 2.0), (1, 6, 0.4)):
        logits = (2 * torch.randn(b, k)).requires_grad_()
        u = torch.rand(b, k).clamp(1e-4, 1 - 1e-4)
        noise = -(-u.log()).log()
        soft = ((logits + noise) / tau).softmax(1)
        hard = F.one_hot((logits + noise).argmax(1), k).float()
        got = call(answer, logits, u, tau)
        expect_shape(got, (b, k), "one number for each code")
        expect_finite(got, "A logarithm got a negative number: log u is one.")
        slips = [
            (soft, "These are the soft weights: the value should be 0 or 1."),
            (
                F.one_hot((logits - noise).argmax(1), k).float(),
                "The noise has the wrong sign: it is -log(-log u).",
            ),
            (
                F.one_hot(logits.argmax(1), k).float(),
                "That is the most probable code of each row: there is no noise in it.",
            ),
            (
                F.one_hot((logits + u).argmax(1), k).float(),
                "You add the uniform numbers: turn them into Gumbel noise first.",
            ),
        ]
        compare(got, hard, slips, "Which code wins when the noise is added?")
        if not got.requires_grad:
            raise Wrong("The value is right, but no gradient reaches the logits.")
        upstream = torch.randn(b, k)

        def slope(value, logits=logits, upstream=upstream):
            return torch.autograd.grad(value, logits, upstream, retain_graph=True)[0]

        plain = (logits / tau).softmax(1)
        slips = [
            (torch.zeros(b, k), "The value is right, and the gradient is 0."),
            (upstream, "The gradient goes straight to the logits, past the softmax."),
            (
                slope(soft) * tau,
                "The gradient lacks a factor: and the temperature?",
            ),
            (slope(plain), "The gradient is that of weights without noise."),
        ]
        hint = "The value is right: the gradient should be that of the soft weights."
        compare(slope(got), slope(soft), slips, hint)
    return "Forward a draw, backward the soft weights: two ideas in one."


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
