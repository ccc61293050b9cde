"""JPEG and PNG: the bits of the pixels alone, and what comes back."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from aigc_lib import data, evaluate

DIGITS = data.mnist("test")[0][:20]


def file_of(image, kind, **options):
    buffer = io.BytesIO()
    pixels = ((image[0] + 1) * 127.5).round().byte().numpy()
    Image.fromarray(pixels).save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def test_png_counts_all_but_signature_header_and_end():
    for image in DIGITS:
        assert evaluate.png_bits(image) == 8 * (len(file_of(image, "PNG")) - 8 - 25 - 12 - 12)
    noise = torch.rand(1, 400, 400, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert evaluate.png_bits(noise) > 8 * 65_536  # more than one chunk
    assert 0.99 < evaluate.png_bits(noise) / (8 * 400 * 400) < 1.02  # noise does not compress


@pytest.mark.parametrize("quality", [1, 10, 50])
def test_jpeg_gives_the_pixels_back_and_leaves_out_the_header(quality):
    for image in DIGITS:
        bits, decoded = evaluate.jpeg(image, quality)
        content = file_of(image, "JPEG", quality=quality)
        np.testing.assert_array_equal(((decoded[0] + 1) * 127.5).round(), np.array(Image.open(io.BytesIO(content))))
        before = content[: -2 - bits // 8]
        assert content.endswith(b"\xff\xd9") and before.endswith(b"\x3f\x00")  # the end of the scan's own header
        assert 0 < bits // 8 < len(before)


def test_finer_jpegs_cost_more_and_are_nearer():
    found = [evaluate.jpeg(DIGITS[0], quality) for quality in (1, 10, 50, 90)]
    bits = [cost for cost, _ in found]
    near = [evaluate.psnr(decoded, DIGITS[0]) for _, decoded in found]
    assert bits == sorted(bits) and near == sorted(near)


def test_psnr_by_hand_and_what_is_refused():
    a = torch.zeros(1, 2, 2)
    assert evaluate.psnr(a, a + 0.2) == pytest.approx(20.0, abs=1e-4)  # 10 log10(4 / 0.04)
    with pytest.raises(ValueError, match="expected the same"):
        evaluate.psnr(a, a[:, :1])
    for call in (evaluate.png_bits, lambda image: evaluate.jpeg(image, 10)):
        with pytest.raises(ValueError, match=r"expected \(1, H, W\)"):
            call(torch.zeros(2, 2))


def test_grid_bits_are_the_entropies_of_the_columns():
    even, sure = torch.arange(8), torch.zeros(8)
    assert evaluate.grid_bits(torch.stack([even, sure, even - 3], dim=1).round()) == pytest.approx(6)
    skew = torch.tensor([[0], [0], [0], [5]])
    by_hand = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert evaluate.grid_bits(skew) == pytest.approx(by_hand)
