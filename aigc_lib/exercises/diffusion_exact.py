"""Checks for the exercises of the diffusion chapter: a step back, and what is exact."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from aigc_lib import diffusion
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_finite,
    expect_shape,
    same,
)


@exercise
def step_back(answer):
    """answer(xt, x0, t, z, alpha_bar) -> x_(t-1) (B, C, H, W), with variance beta_t."""
    alpha_bar = diffusion.cosine_schedule(20)
    for times in ([3, 0, 19, 7], [5], [0, 12]):
        t, shape = torch.tensor(times), (len(times), 1, 2, 3)
        xt, x0, z = torch.randn(shape), torch.randn(shape), torch.randn(shape)
        got = call(answer, xt, x0, t, z, alpha_bar)
        expect_shape(got, shape, "like the images")
        expect_finite(got, "What is alpha_bar before the first step? See t = 0.")
        mean, variance = diffusion.posterior(x0, xt, t, alpha_bar)
        beta = diffusion.at(diffusion.betas(alpha_bar), t, xt)
        later = (t > 0).view(-1, 1, 1, 1)
        wrapped = _step_with_wrapped_index(xt, x0, t, z, alpha_bar)
        slips = [
            (
                mean + beta.sqrt() * z,
                "You add noise at t = 0: what comes before is the image itself.",
            ),
            (
                mean + variance.sqrt() * z,
                "That is the variance of the posterior: the task asks for beta_t.",
            ),
            (
                mean + later * beta * z,
                "You scale the noise by the variance: the "
                "standard deviation is its root.",
            ),
            (mean, "You add no noise at all."),
            (
                later * mean
                + (~later) * x0
                + later * (1 - alpha_bar[t]).sqrt().to(xt).view(-1, 1, 1, 1) * z,
                "The variance of one step is beta_t, not the "
                "noise of all steps so far.",
            ),
            (
                diffusion.posterior(xt, x0, t, alpha_bar)[0] + later * beta.sqrt() * z,
                "x_0 and x_t have exchanged their factors.",
            ),
            (
                wrapped,
                "At t = 0 your alpha_bar[t - 1] is alpha_bar[-1], the last "
                "one: before the first step it is 1.",
            ),
        ]
        true = mean + later * beta.sqrt() * z
        hint = "Set z to zero: what is left is the mean of the posterior."
        if same(got[t > 0], true[t > 0]):
            hint = "It is right where t > 0: look at t = 0, where x_0 must come out."
        compare(got, true, slips, hint)
    return "With many steps this variance draws about as well as the posterior's."


def _step_with_wrapped_index(
    xt: Tensor, x0: Tensor, t: Tensor, z: Tensor, alpha_bar: Tensor
) -> Tensor:
    """What comes out if before t = 0 stands the last value of the schedule."""
    a, before = diffusion.at(alpha_bar, t, xt), alpha_bar[t - 1].to(xt)
    before = before.view(-1, 1, 1, 1)
    beta = 1 - a / before
    mean = before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * xt
    noise = torch.where(t.view(-1, 1, 1, 1) > 0, beta.clamp(min=0).sqrt() * z, 0.0)
    return mean / (1 - a) + noise


@exercise
def bound_term(answer):
    """answer(x0, guess, before, now): SNR at t-1 and t, (B,) each -> (), in nats."""
    for shape in [(3, 1, 4, 5), (1, 3, 2, 2), (4, 1, 2, 4)]:
        x0, guess = torch.randn(shape), torch.randn(shape)
        now = torch.rand(shape[0]) * 3
        before = now + torch.rand(shape[0]) + 0.1
        got = call(answer, x0, guess, before, now)
        if got.shape == (shape[0],) and shape[0] > 1:
            raise Wrong("You return one value per image: average over the batch.")
        expect_shape(got, (), "one number: the mean over the batch")
        squares = (x0 - guess).square().flatten(1)
        loss = 0.5 * (before - now)
        true = (loss * squares.sum(1)).mean()
        slips = [
            (
                -true,
                "The sign is the other way round: the SNR falls with time, and a "
                "cost is positive.",
            ),
            (2 * true, "You are off by a factor of two."),
            ((loss * squares.sum(1)).sum(), "You sum over the batch: average."),
            (
                (loss * squares.mean(1)).mean(),
                "You average over the pixels: nats of an image add up over them.",
            ),
            (
                (0.5 * now * squares.sum(1)).mean(),
                "That weighs by the SNR at t alone: the factor is what the step loses.",
            ),
            (
                loss.mean() * squares.sum(1).mean(),
                "You average factor and error apart: each image has its own factor.",
            ),
            (
                (loss * squares.sum(1).sqrt()).mean(),
                "That is the length of the difference: take its square.",
            ),
        ]
        hint = "Equation: half the loss in SNR, times the squared distance."
        compare(got, true, slips, hint)
    return "Summed over all steps, this is nearly the whole bound."


@exercise
def denoiser_from_density(answer):
    """answer(log_q, xt, a): (B, D) -> (B,), (B, D), alpha_bar -> E[x_0 | x_t]."""
    for b, d, n, a in [(4, 2, 5, 0.6), (1, 3, 7, 0.2), (6, 1, 2, 0.95)]:
        data, xt = torch.randn(n, d, dtype=torch.float64), torch.randn(b, d).double()
        density = _log_density(data, a)
        got = call(answer, density, xt, a)
        expect_shape(got, (b, d), "one expected point per noisy point")
        schedule = torch.tensor([a], dtype=torch.float64)
        zeros = torch.zeros(b, dtype=torch.int64)
        true = diffusion.optimal_denoiser(xt, zeros, data, schedule)
        score = (math.sqrt(a) * true - xt) / (1 - a)
        slips = [
            (score, "That is the score: solve Tweedie's formula for E[x_0 | x_t]."),
            (
                (xt - (1 - a) * score) / math.sqrt(a),
                "The sign of the score is wrong: it points to the data.",
            ),
            (xt + (1 - a) * score, "That is the root of alpha_bar times the answer."),
            ((xt + (1 - a) * score) / a, "Divide by the root of alpha_bar."),
            (
                (xt + math.sqrt(1 - a) * score) / math.sqrt(a),
                "The score belongs to the variance 1 - alpha_bar, not to its root.",
            ),
            (
                (xt + (1 - a) * score / b) / math.sqrt(a),
                "The gradient of the *mean* "
                "over the batch is too small by its size: take that of the sum.",
            ),
        ]
        hint = "Far from all data the answer must still lie among the data."
        compare(got, true, slips, hint)
        if got.requires_grad:
            raise Wrong(
                "The value is right, but a graph hangs on it: "
                "detach the result, or it keeps all the memory."
            )
    return "A density of noisy data is a denoiser, and the other way round."


def _log_density(data: Tensor, a: float):
    """log q of noisy `data` (N, D), up to a constant, as a function of points."""

    def log_q(x):
        squares = (x[:, None] - math.sqrt(a) * data).square().sum(2)  # (B, N)
        return (-squares / (2 * (1 - a))).logsumexp(1)

    return log_q


@exercise
def class_posterior(answer):
    """answer(xt, a, data, labels, K): (B, P), (N, P), (N,) -> (B, K), p(y | x_t)."""
    for b, n, a in [(4, 9, 0.5), (3, 12, 0.1), (5, 8, 0.9999)]:
        data, K = 0.7 * torch.randn(n, 6), 3  # so that several points are probable
        labels = torch.cat([torch.tensor([0, 0, 0, 0, 1, 2]), torch.arange(n - 6) % 2])
        start = data[torch.randint(n, (b,))]
        xt = math.sqrt(a) * start + math.sqrt(1 - a) * torch.randn(b, 6)
        xt[0] = 3 * torch.randn(6)  # far from all data
        got = call(answer, xt, a, data, labels, K)
        if got.shape == (K, b) and K != b:
            raise Wrong("Your result is transposed: images are the rows.")
        expect_shape(got, (b, K), "one probability per class for each image")
        expect_finite(
            got,
            "All exponentials are 0 under weak noise, and you divide by their sum: "
            "take the softmax of the exponents.",
        )
        per_class = F.one_hot(labels, K).float()
        squares = torch.cdist(xt, math.sqrt(a) * data) ** 2
        w = _softmax(squares, 2 * (1 - a))
        means = w @ per_class / per_class.sum(0)
        slips = [
            (means, "You average the weights of a class: add them up."),
            (
                means / means.sum(1, keepdim=True),
                "You average the weights of a class, "
                "which makes all classes equally frequent: add them up.",
            ),
            (
                _softmax(squares, 1 - a) @ per_class,
                "The exponent has a 2 in its denominator.",
            ),
            (
                _softmax(squares, 2.0) @ per_class,
                "Divide by the variance of the noise, 1 - alpha_bar.",
            ),
            (
                _softmax(squares, 2 * math.sqrt(1 - a)) @ per_class,
                "Divide by the variance of the noise, not by its standard deviation.",
            ),
            (
                _softmax(torch.cdist(xt, data) ** 2, 2 * (1 - a)) @ per_class,
                "The noisy images lie around the *shrunk* data: multiply by the root "
                "of alpha_bar.",
            ),
            (
                _softmax(torch.cdist(xt, a * data) ** 2, 2 * (1 - a)) @ per_class,
                "The data are shrunk by the root of alpha_bar.",
            ),
            (
                _softmax(squares.sqrt(), 2 * (1 - a)) @ per_class,
                "The exponent has the *squared* distance.",
            ),
            (per_class[w.argmax(1)], "You give all probability to the nearest point."),
        ]
        true = w @ per_class
        if not same(got.sum(1), torch.ones(b)):
            slips.append((got, "The rows must add up to 1."))
        compare(got, true, slips, "Under weak noise at a datum, its class has all.")
    return "An exact classifier of noisy images, without training."


def _softmax(squares: Tensor, width: float) -> Tensor:
    return (-squares / width).softmax(dim=1)
