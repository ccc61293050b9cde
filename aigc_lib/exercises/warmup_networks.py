"""Checks for the warm-up's questions about networks and sizes."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    expect_finite,
    expect_shape,
    same,
)
from aigc_lib.exercises.warmup_parts import question, whole


@question("Softmax and cross-entropy")
def softmax(answer):
    """answer(logits): (B, K) -> (B, K), each row positive with sum one."""
    for b, k, shift in [(4, 3, 0.0), (1, 5, 0.0), (3, 2, 500.0)]:
        # The rows are near 0, 500 and 1000 in the last case.
        logits = torch.randn(b, k) + shift * torch.arange(b)[:, None]
        true = logits.softmax(1)
        got = call(answer, logits.clone())
        expect_shape(got, (b, k), "as the logits")
        if shift:
            expect_finite(
                got,
                "One of the rows is near 1000, where exp overflows: "
                "what may you add to a whole row?",
            )
        together = logits.flatten().softmax(0).view(b, k)
        slips = [
            (logits.softmax(0), "Your columns sum to one: each row should."),
            (logits.log_softmax(1), "This is the logarithm of the answer."),
            (logits.exp(), "These are positive, but the rows do not sum to one yet."),
            (together, "All numbers together sum to one: each row should."),
            (
                logits.sigmoid(),
                "The sigmoid treats each logit alone: "
                "the entries of a row should compete.",
            ),
            (
                logits / logits.sum(1, keepdim=True),
                "Logits can be negative: make them positive before you divide.",
            ),
        ]
        hint = (
            "Each row should be positive and sum to one, in proportion to exp(logits)."
        )
        compare(got, true, slips, hint)
    return "Positive, rows sum to one, and no overflow."


@question("Softmax and cross-entropy")
def cross_entropy(answer):
    """answer(logits, labels): (B, K), (B,) int64 -> (), the mean of -log softmax at the
    label."""
    for b, k, spread in [(5, 3, 0.0), (3, 4, 0.0), (4, 3, 200.0)]:
        logits = torch.randn(b, k) + spread * torch.arange(k)
        labels = torch.randint(k, (b,))
        labels[0] = 0  # with a spread of 200, a class whose probability rounds to zero
        true = F.cross_entropy(logits, labels)
        got = call(answer, logits, labels)
        if got.shape == (b,):
            raise Wrong("You return one loss per row: average them over the batch.")
        expect_shape(got, (), "one number")
        if spread:
            expect_finite(
                got,
                "With large logits a probability rounds to zero "
                "before you take its logarithm.",
            )
        log_p = logits.log_softmax(1)
        raw = -logits[range(b), labels].mean()
        slips = [
            (-true, "The sign is the other way round: the loss is never negative."),
            (b * true, "You sum over the batch: the question asks for the mean."),
            (F.cross_entropy(logits.softmax(1), labels), "Softmax is applied twice."),
            (-log_p.softmax(1)[range(b), labels].mean(), "The logarithm is missing."),
            (raw, "These are raw logits: they are no log-probabilities yet."),
            (
                -log_p[:, labels].mean(),
                "You pair every row with every label: "
                "each row has one label of its own.",
            ),
            (
                -log_p.mean(),
                "You average over all classes: only the label's class counts.",
            ),
        ]
        compare(got, true, slips, "Pick the log-probability of each row's own label.")
    return "The loss of every classifier and every GPT."


@question("Convolution and transposed convolution")
def conv_size(answer):
    """answer(n, kernel, stride, padding): ints -> int, a convolution's output size."""
    cases = [(28, 3, 1, 1), (28, 4, 2, 1), (7, 3, 2, 0), (32, 5, 3, 2)]
    cases += [(5, 5, 1, 0), (9, 2, 4, 0), (11, 3, 2, 1)]
    n, k, s, p = torch.tensor(cases).T
    true = (n + 2 * p - k) // s + 1
    got = torch.tensor([whole(answer, *case) for case in cases])
    slips = [
        (
            (n + 2 * p - k) // s,
            "You are one short: count the positions of the kernel, "
            "not the steps between them.",
        ),
        ((n + p - k) // s + 1, "Padding is added at both ends."),
        (
            n + 2 * p - k + 1,
            "The stride is missing: the kernel stands at every s-th position only.",
        ),
        (
            -((n + 2 * p - k) // -s) + 1,
            "You round up: a kernel that does not fit any more is left out.",
        ),
        ((n + 2 * p) // s, "How many positions does the width of the kernel cost?"),
        ((n - 1) * s - 2 * p + k, "This is the size after a transposed convolution."),
    ]
    if not same(got, true):
        case = cases[int((got != true).nonzero()[0])]
        hint = f"The first case that fails: n, kernel, stride, padding = {case}."
        compare(got, true, slips, hint)
    return "You will need it whenever two layers do not fit."


@question("Convolution and transposed convolution")
def transposed(answer):
    """answer(x, kernel, stride): (N,), (K,) -> (stride * (N - 1) + K,), a transposed
    convolution of one row."""
    for n, k, s in [(4, 3, 2), (5, 3, 1), (3, 2, 4), (1, 3, 2)]:
        x, kernel = torch.randn(n), torch.randn(k)
        got = call(answer, x, kernel, s)
        why = "copies of the kernel, their starts `stride` apart"
        expect_shape(got, (s * (n - 1) + k,), why)
        overwritten = torch.zeros(len(got))
        for i in range(n):
            overwritten[i * s : i * s + k] = x[i] * kernel
        alike = _stamp(torch.ones(n), kernel, s)
        slips = [
            (
                overwritten,
                "Where two copies overlap, the later one wins in yours: "
                "they should add up.",
            ),
            (_stamp(x, kernel.flip(0), s), "Your copies of the kernel run backwards."),
            (_stamp(x.flip(0), kernel, s), "Your inputs run backwards."),
            (alike, "All copies are alike: each one is scaled by its input."),
        ]
        hint = "With one input of 1, the result is the kernel itself."
        compare(got, _stamp(x, kernel, s), slips, hint)
    return "Generators grow small maps into large images this way."


@question("Normalisation")
def batch_norm(answer):
    """answer(x, eps): (B, C, H, W) -> the same shape, each channel with mean 0 and
    variance 1 over batch and pixels."""
    for shape, eps in [((4, 3, 2, 2), 1e-5), ((2, 1, 3, 2), 0.5), ((3, 2, 4, 1), 0.5)]:
        x = 2 * torch.randn(shape) + 3 * torch.randn(1, shape[1], 1, 1)
        got = call(answer, x.clone(), eps)
        expect_shape(got, shape, "as the input")

        def over(*dims, unbiased=False, x=x, eps=eps):
            mean = x.mean(dims, keepdim=True)
            var = x.var(dims, unbiased=unbiased, keepdim=True)
            return (x - mean) / (var + eps).sqrt()

        centred = x - x.mean((0, 2, 3), keepdim=True)
        var = x.var((0, 2, 3), unbiased=False, keepdim=True)
        too_late = centred / (var.sqrt() + eps)
        slips = [
            (
                over(1, 2, 3),
                "You normalise each image: "
                "here each channel shares its statistics over the batch.",
            ),
            (
                over(2, 3),
                "You normalise each image's channel by itself: "
                "the batch shares one mean per channel.",
            ),
            (
                over(0),
                "Each pixel has a mean of its own in yours: "
                "all pixels of a channel share one.",
            ),
            (
                over(0, 1, 2, 3),
                "All channels share one mean in yours: each has its own.",
            ),
            (
                over(0, 2, 3, unbiased=True),
                "Your variance divides by n - 1: batch normalisation divides by n.",
            ),
            (
                centred / (var + eps),
                "You divide by the variance: "
                "what has the unit of x is its square root.",
            ),
            (too_late, "eps belongs to the variance, under the root."),
            (centred / var.sqrt(), "Where does eps come in?"),
            (centred, "The mean is right: the variance is not one yet."),
        ]
        hint = "Print the mean and the variance of each channel: 0 and almost 1."
        compare(got, over(0, 2, 3), slips, hint)
    return "One mean and one variance per channel."


def _stamp(x: torch.Tensor, kernel: torch.Tensor, stride: int) -> torch.Tensor:
    return F.conv_transpose1d(x[None, None], kernel[None, None], stride=stride)[0, 0]
