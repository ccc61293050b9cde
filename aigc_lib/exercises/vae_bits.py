"""Checks for the VAE chapter's exercises on the price of a code."""

import torch

from aigc_lib.exercises.verdict import (
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
)


@exercise
def free_bits(answer):
    """answer(kl, free): (B, D), float -> (), sum over latents of max(mean KL, free)."""
    for (b, d), free in [((6, 4), 0.5), ((3, 7), 0.2), ((1, 2), 1.0)]:
        kl = torch.rand(b, d) * 2 * free
        got = call(answer, kl, free)
        expect_shape(got, (), "one number for the whole batch")
        mean = kl.mean(0)
        total = mean.sum()
        slips = [
            (
                kl.clamp(min=free).mean(0).sum(),
                "You clamp each image: average over the batch first, "
                "then clamp each latent.",
            ),
            (
                mean.clamp(max=free).sum(),
                "You clamp from above: "
                "a latent may cost more than the free amount, never less.",
            ),
            (
                total.clamp(min=free),
                "You clamp the sum: each latent has a free amount of its own.",
            ),
            (
                total.clamp(min=free * d),
                "You clamp the sum: each latent has a free amount of its own.",
            ),
            (
                (mean - free).clamp(min=0).sum(),
                "You subtract the free amount; its gradient is the same, "
                "but the value is not what was asked.",
            ),
        ]
        hint = "average over dim 0, clamp, sum over the latents."
        compare(got, mean.clamp(min=free).sum(), slips, hint)
    return (
        "Below the free amount the gradient is zero, "
        "so nothing pushes that latent towards the prior."
    )


@exercise
def iwae(answer):
    """answer(log_weights): (k, B) -> (B,), -log of the mean weight."""
    cases = [((5, 3), 0.0), ((1, 4), 0.0), ((8, 8), -900.0), ((4, 2), 300.0)]
    for shape, shift in cases:
        shifts = shift * torch.linspace(1, 0.5, shape[1])  # images differ widely
        log_w = torch.randn(shape) + shifts
        got = call(answer, log_w)
        expect_shape(got, shape[1:], "one bound per image: the draws are dim 0")
        expect_finite(
            got,
            "Weights like exp(-900) underflow: stay in logarithms (torch.logsumexp).",
        )
        total = torch.logsumexp(log_w, 0)
        k = torch.tensor(float(shape[0]))
        slips = [
            (
                total - k.log(),
                "The sign is the other way round: the bound is on -log p(x).",
            ),
            (-total, "You sum the weights: the bound holds for their mean."),
            (
                -log_w.mean(0),
                "You average outside the logarithm: that is the looser ELBO.",
            ),
        ]
        hint = (
            "Equal weights w must give -log w, for any k; "
            "one dominant weight costs log k more."
        )
        compare(got, k.log() - total, slips, hint)
    return "With more draws the bound falls towards -log p(x)."


@exercise
def entropy_bits(answer):
    """answer(symbols): (N, D) int64 -> (), sum of the columns' entropies in bits."""
    for n, d, kinds in [(64, 3, 4), (50, 1, 2), (40, 5, 7)]:
        symbols = torch.randint(-kinds, kinds, (n, d)) * (torch.rand(n, d) < 0.7)
        got = call(answer, symbols)
        expect_shape(got, (), "one number: bits per image")
        shares = [c.unique(return_counts=True)[1].double() / n for c in symbols.T]
        true = -sum((p * p.log2()).sum() for p in shares)
        expect_finite(got, "0 * log2(0) is nan in floating point, but its limit is 0.")
        joint = symbols.unique(return_counts=True)[1].double() / symbols.numel()
        slips = [
            (
                true * torch.tensor(2.0).log(),
                "That is the entropy in nats: bits use the logarithm to base 2.",
            ),
            (
                true / d,
                "You average over the latents: the coder pays for each of them.",
            ),
            (-true, "The sign is the other way round: a number of bits is positive."),
            (n * true, "That is the bill for all images: give the bits per image."),
            (
                -d * (joint * joint.log2()).sum(),
                "You count all latents in one table: "
                "each latent has frequencies of its own.",
            ),
        ]
        hint = (
            "A latent that always has the same value costs 0 bits; a fair coin costs 1."
        )
        compare(got, true, slips, hint)
    return "The entropy is what an arithmetic coder reaches, up to a bit or two in all."
