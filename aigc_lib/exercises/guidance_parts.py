"""Checks of the guidance chapter's exercises on labels and on classifiers."""

import torch
from torch import Tensor

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
def hide_labels(answer):
    """answer(y, share, none, rng): classes (B,), float, int, generator -> (B,) int64,
    some of them replaced by `none`."""

    def hidden(y, share, none, seed):
        rng = torch.Generator().manual_seed(seed)
        got = call(answer, y, share, none, rng)
        if got.shape != y.shape or got.dtype != torch.int64:
            raise Wrong(
                f"You return {tuple(got.shape)} of {got.dtype}: "
                f"expected {tuple(y.shape)} of torch.int64, one class per image."
            )
        return got

    seed = int(torch.randint(1000, ()))
    y = torch.randint(0, 10, (20_000,))
    got = hidden(y, 0.2, 10, seed)
    changed = got != y
    if (got[changed] != 10).any():
        raise Wrong("A hidden class becomes `none`, and every other one stays.")
    _expect_share(changed.float().mean().item(), 0.2)
    if not torch.equal(got, hidden(y, 0.2, 10, seed)):
        raise Wrong("The same generator gives two results: draw from it, and only it.")
    if torch.equal(got, hidden(y, 0.2, 10, seed + 1)):
        raise Wrong("Another generator gives the same result: draw from `rng`.")
    other = hidden(y % 3, 0.2, 3, seed)
    if (other == 10).any() or (other > 3).any() or (other < 0).any():
        raise Wrong("The class that stands for none is an argument: use `none`.")
    if (hidden(y, 0.0, 10, seed) != y).any():
        raise Wrong("With a share of 0 no label should change.")
    if (hidden(y, 1.0, 10, seed) != 10).any():
        raise Wrong("With a share of 1 every label should be hidden.")
    return "One network now learns all classes, and none, in the same batches."


def _expect_share(found: float, share: float) -> None:
    if abs(found - (1 - share)) < 0.02:
        raise Wrong(f"You keep a share of {share} and hide the rest.")
    if found in (0.0, 1.0):
        raise Wrong("All labels share one fate: draw a number for each image.")
    if abs(found - share) > 0.02:
        raise Wrong(f"A share of {found:.2f} is hidden, where {share} was asked for.")


def _toy_classifier(sharp: float):
    """A classifier with random weights that depends on the time, and its gradients."""
    weight = sharp * torch.randn(4, 6)

    def classifier(x: Tensor, t: Tensor) -> Tensor:
        return (1 + t[:, None] / 10) * (x.flatten(1) @ weight.T)

    def gradients(x: Tensor, t: Tensor, y: Tensor) -> dict[str, Tensor]:
        scale = 1 + t[:, None] / 10
        p = classifier(x, t).softmax(1)
        log_p = scale * (weight[y] - p @ weight)
        own = p.gather(1, y[:, None])
        return {
            "log p": log_p.view_as(x),
            "p": (own * log_p).view_as(x),
            "logit": (scale * weight[y]).view_as(x),
            "best": (scale * (weight[p.argmax(1)] - p @ weight)).view_as(x),
        }

    return classifier, gradients


@exercise
def classifier_noise(answer):
    """answer(eps, classifier, x, t, y, w, a): the noise that a network says (B, …), a
    classifier (x, t) -> logits (B, K), noisy images, times (B,), classes (B,), a
    weight, alpha_bar at t (B, 1, …) -> the guided noise, like eps."""
    for shape, sharp in [((5, 6), 1.0), ((3, 1, 2, 3), 1.0), ((1, 6), 200.0)]:
        classifier, gradients = _toy_classifier(sharp)
        eps, x = torch.randn(shape), torch.randn(shape) / 2
        t, y = torch.randint(0, 20, shape[:1]), torch.randint(0, 4, shape[:1])
        w = 0.5 + 3 * torch.rand(()).item()
        a = (0.1 + 0.4 * torch.rand(shape[0])).view(-1, *[1] * (len(shape) - 1))
        push = gradients(x, t, y)
        with torch.no_grad():  # as inside a sampler
            got = call(answer, eps, classifier, x, t, y, w, a)
        expect_shape(got, shape, "one noise for each image, like `eps`")
        expect_finite(got, "Use log_softmax, which does not round to log 0.")
        true = eps - w * (1 - a).sqrt() * push["log p"]
        slips = _noise_slips(eps, push, w, a)
        hint = (
            "Two parts can be wrong: the gradient of log p of each image's own class, "
            "and its factor. With w = 0 the noise must come back as it was."
        )
        compare(got, true, slips, hint)
    return "This is algorithm 2 of the paper on classifier guidance."


def _noise_slips(eps: Tensor, push: dict, w: float, a: Tensor) -> list:
    """Wrong answers with the hint that each deserves."""
    step, log_p = w * (1 - a).sqrt(), push["log p"]
    return [
        (
            eps + step * log_p,
            "A sign: the score is *minus* the noise, times a positive factor.",
        ),
        (
            eps - step * log_p / len(eps),
            "You average over the batch, so each gradient is B times too small: sum.",
        ),
        (
            eps + step * log_p / len(eps),
            "A sign, and a mean over the batch in place of a sum: look at what "
            "cross_entropy returns.",
        ),
        (
            eps - w * log_p,
            "The factor of the gradient is missing: by what do you multiply a score "
            "to get the noise?",
        ),
        (
            eps - w * (1 - a) * log_p,
            "The factor is squared: the noise has the standard deviation sqrt(1 - a).",
        ),
        (
            eps + w * (1 - a) / a.sqrt() * log_p,
            "That is the step of x0: the noise moves the other way, by another factor.",
        ),
        (
            -step * log_p,
            "The noise that the network says is missing: change it, do not replace it.",
        ),
        (
            eps - step * push["p"],
            "That is the gradient of p: take its logarithm first.",
        ),
        (
            eps - step * push["logit"],
            "That is the gradient of the logit: log p also has the logarithm of the "
            "sum over all classes.",
        ),
        (
            eps - step * push["best"],
            "You follow the most probable class, not the one in `y`.",
        ),
    ]


@exercise
def classify(answer):
    """answer(denoise, x0, xt, t, K): denoise(xt, t, y) -> x0 like xt; images (B, …),
    noisy versions (S, B, …), times (S, B) -> the class (B,) with the least error."""
    for s, b, k in [(4, 6, 5), (1, 3, 2), (7, 2, 3)]:
        x0, xt, t, denoise, error = _toy_errors(s, b, k)
        got = call(answer, denoise, x0, xt, t, k)
        if got.shape != (b,):
            raise Wrong(
                f"Your result has shape {tuple(got.shape)}: expected ({b},), "
                "one class per image."
            )
        if got.is_floating_point():
            raise Wrong("You return floats: a class is a whole number, from argmin.")
        slips = [
            (
                error.mean(1).argmax(0),
                "You return the class with the *largest* error.",
            ),
            (
                error[:, 0].argmin(0),
                "You look at one noisy version of each image: average over all.",
            ),
            (
                error.mean((1, 2)).argmin().expand(b),
                "All images get one class: do not average over the batch.",
            ),
            (
                _votes(error),
                "Each noisy version casts one vote: average the errors first.",
            ),
        ]
        hint = "For each class: denoise, square the difference to x0, average."
        compare(got.double(), error.mean(1).argmin(0).double(), _double(slips), hint)
    return "A network that draws by class can also tell classes apart."


def _double(slips):
    return [(value.double(), hint) for value, hint in slips]


def _toy_errors(s: int, b: int, k: int):
    """Images whose errors (K, S, B) tell every slip in `classify` from the answer."""
    while True:
        centres, x0 = torch.randn(k, 3), torch.randn(b, 3)
        t = torch.randint(0, 10, (s, b))
        xt = x0 + torch.randn(s, b, 3)

        def denoise(noisy, time, y, centres=centres):
            if noisy.shape[0] != time.shape[0] or y.shape != time.shape:
                raise ValueError(
                    f"denoise got xt {tuple(noisy.shape)}, t {tuple(time.shape)}, "
                    f"y {tuple(y.shape)}: one time and one class for each image"
                )
            return 0.5 * noisy + (0.5 + time[:, None] / 20) * centres[y]

        error = torch.stack(
            [
                torch.stack(
                    [
                        (denoise(xt[i], t[i], torch.full((b,), c)) - x0)
                        .square()
                        .mean(1)
                        for i in range(s)
                    ]
                )
                for c in range(k)
            ]
        )  # (K, S, B)
        true = error.mean(1).argmin(0)
        first = error[:, 0].argmin(0)
        whole = error.mean((1, 2)).argmin().expand(b)
        votes = _votes(error)
        if s == 1 or not any(same(true, slip) for slip in (first, whole, votes)):
            return x0, xt, t, denoise, error


def _votes(error: Tensor) -> Tensor:
    """The class (B,) that is best for most of the noisy versions."""
    k = len(error)
    return torch.nn.functional.one_hot(error.argmin(0), k).sum(0).argmax(1)
