"""Pictures of the reader's own: what fits is converted, what does not is named."""

import subprocess
import sys

import numpy as np
import pytest

from aigc_lib import data, recipes

GREY = (1, 28, 28)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_fits(tmp_path):
    pixels = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    images, checksum = data.own_images(save(tmp_path / "a.npz", anything=pixels), GREY)
    assert images.shape == (2, 1, 28, 28) and images.min() == -1 and images.max() == 1 and len(checksum) == 64
    same, _ = data.own_images(save(tmp_path / "b.npz", images=images.numpy(), labels=np.zeros(2)), GREY)
    assert np.array_equal(same, images)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, r"shape \(4, 32, 32, 3\); expected \(N, 1, 28, 28\)"),
        ({"images": np.zeros((4, 28, 28), np.int64)}, "dtype int64; expected uint8"),
        ({"images": np.full((4, 28, 28), 255.0)}, "values from 255 to 255; expected floats in"),
        ({"images": np.full((4, 28, 28), np.nan)}, "values from nan"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, r"arrays \['a', 'b'\]"),
        ({"images": np.zeros((1, 28, 28), np.uint8)}, "only 1; expected at least 2"),
        ({"images": np.array([object()])}, "plain numbers"),
    ],
)
def test_what_does_not(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        data.own_images(save(tmp_path / "x.npz", **arrays), GREY, at_least=2)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        data.own_images(tmp_path / "none.npz", GREY)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a readable npz file"):
        data.own_images(tmp_path / "text.npz", GREY)
    np.save(tmp_path / "one.npy", np.zeros((2, 28, 28)))
    with pytest.raises(ValueError, match="not a readable npz file"):
        data.own_images(tmp_path / "one.npy", GREY)


def test_a_recipe_trains_on_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    recipes.train("vae", tmp_path, steps=2, images=save(tmp_path / "mine.npz", images=pixels))
    card = recipes.card("vae", tmp_path)
    assert card["data_sha256"] != data.checksum("mnist") and card["metrics"]["n"] == 30
    with pytest.raises(ValueError, match="needs labels"):
        recipes.train("digits", tmp_path, steps=2, images=tmp_path / "mine.npz")


def test_the_command_line_says_it_in_one_line_and_writes_nothing(tmp_path):
    save(tmp_path / "bad.npz", images=np.zeros((4, 32, 32), np.uint8))
    command = [sys.executable, "-m", "aigc_lib.recipes", "train", "vae", "--images", "bad.npz", "--out", "new"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "(4, 1, 32, 32)" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npz"]
