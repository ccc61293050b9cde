"""Checks for the GAN family chapter's exercises on layers."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import call, compare, exercise, expect_shape, same
from aigc_lib.models.stylegan import modulated_conv2d


@exercise
def label_planes(answer):
    """answer(x, y, classes): (B, C, H, W), (B,) int64 -> (B, C + classes, H, W)."""
    for b, c, s, classes in [(4, 1, 5, 10), (2, 3, 4, 3)]:
        x, y = torch.randn(b, c, s, s + 1), torch.randint(classes, (b,))
        got = call(answer, x, y, classes)
        why = "one plane per class behind the image's channels"
        expect_shape(got, (b, c + classes, s, s + 1), why)
        planes = torch.eye(classes)[y][:, :, None, None].expand(-1, -1, s, s + 1)
        first = "The planes come first: the image's own channels should."
        hint = "The first channels should be the image itself, unchanged."
        if same(got[:, :c], x):
            hint = (
                "The image is right; the planes are not: "
                "plane k is 1 everywhere where the label is k, else 0."
            )
        slips = [(torch.cat([planes, x], 1), first)]
        compare(got, torch.cat([x, planes], 1), slips, hint)
    return "A convolution can now see the label at every place."


@exercise
def modulated_conv(answer):
    """answer(x, weight, style): (B, I, H, W), (O, I, 3, 3), (B, I) -> (B, O, H, W),
    demodulated."""
    for b, i, o in [(3, 4, 5), (2, 5, 5)]:
        x, weight = torch.randn(b, i, 6, 6), torch.randn(o, i, 3, 3)
        style = torch.randn(b, i) + 1
        got = call(answer, x, weight, style)
        expect_shape(got, (b, o, 6, 6), "same size as the input: padding 1")
        unstyled = modulated_conv2d(x, weight, torch.ones_like(style))
        normed = F.normalize(weight.flatten(1), dim=1).reshape(weight.shape)
        slips = [
            (
                modulated_conv2d(x, weight, style, demodulate=False),
                "Demodulation is missing: "
                "divide each output channel by the length of its scaled filter.",
            ),
            (
                modulated_conv2d(x, weight, style[:1].expand_as(style)),
                "All samples get the style of the first: each has its own.",
            ),
            (F.conv2d(x, weight, padding=1), "The style has no effect."),
            (unstyled, "The style has no effect."),
            (
                modulated_conv2d(x, normed, style, demodulate=False),
                "You bring the filters to length 1 *before* the style scales them: "
                "do it after, per sample.",
            ),
        ]
        hint = (
            "Try style = 1 everywhere: then each filter is divided by its own length."
        )
        compare(got, modulated_conv2d(x, weight, style), slips, hint)
    return (
        "The scale of a style is taken out again: "
        "only the ratios between channels matter."
    )


@exercise
def truncate(answer):
    """answer(w, mean, psi): (B, D), (D,), float -> (B, D), w pulled towards mean."""
    for b, d, psi in [(3, 4, 0.7), (2, 2, 0.0), (4, 4, 1.0), (2, 3, 0.3)]:
        w, mean = torch.randn(b, d), torch.randn(d)
        got = call(answer, w, mean, psi)
        expect_shape(got, (b, d), "one w per row")
        slips = [
            (
                w + psi * (mean - w),
                "psi runs the other way: 1 changes nothing, 0 gives the mean.",
            ),
            (psi * w, "You shrink towards 0: shrink towards the mean."),
            (
                psi * w + mean,
                "You move everything by the mean: psi = 1 must change nothing.",
            ),
        ]
        hint = "psi = 1 gives w, psi = 0 gives the mean, in between a straight line."
        compare(got, mean + psi * (w - mean), slips, hint)
    return "Less variety, by one number, after training."
