"""The emoji, their split, and what the builder does with one."""

import numpy as np
import pytest
import torch
from builders import emoji as builder
from PIL import Image

from aigc_lib import data


@pytest.fixture(scope="module")
def parts():
    return {split: data.emoji(split) for split in ("train", "held out")}


def test_pictures_names_categories_and_groups_belong_together(parts):
    for part in parts.values():
        n = len(part.names)
        assert part.images.shape == (n, 3, 32, 32) and part.images.dtype == torch.float32
        assert -1 <= part.images.min() < 0 and part.images.max() == 1
        assert len(part.categories) == len(part.groups) == n
    whole = parts["train"].names + parts["held out"].names
    assert len(whole) == 1873 and 0.08 < len(parts["held out"].names) / len(whole) < 0.15


def test_no_picture_occurs_twice_and_variants_stay_together(parts):
    every = torch.cat([part.images for part in parts.values()]).flatten(1)
    assert len(every.unique(dim=0)) == len(every)
    assert not set(parts["train"].groups) & set(parts["held out"].groups)
    held_out = parts["held out"]
    singers = {g for g, name in zip(held_out.groups, held_out.names, strict=True) if "singer" in name}
    assert len(singers) == 1 and sum("singer" in name for name in held_out.names) == 3


def test_the_pictures_are_what_their_names_say(parts):
    train = parts["train"]

    def colour(name):
        """Mean red, green and blue of what is not white."""
        image = train.images[train.names.index(name)]
        return (image[:, image.min(0).values < 0.5].mean(1)).tolist()

    red, green, blue = colour("large red circle"), colour("large green circle"), colour("large blue circle")
    assert red[0] > red[1] and green[1] > green[0] and blue[2] > blue[0]


def test_unknown_split():
    with pytest.raises(ValueError, match="split='test': expected 'train' or 'held out'"):
        data.emoji("test")


def test_the_builder_puts_a_picture_on_white_and_halves_it(tmp_path):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, :32] = 255, 0, 0, 255  # the left half red, the right half clear
    rgba[:2, 62:] = [[[0, 0, 0, 255], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    small = builder.picture(tmp_path / "a.png")
    assert small.shape == (32, 32, 3) and small[5, 3].tolist() == [255, 0, 0]
    assert small[5, 20].tolist() == [255] * 3 and small[0, 31].tolist() == [191] * 3  # one black of four


def test_variants_share_a_group():
    codes = "1F3C3", "1F3C3-200D-2640-FE0F", "1F3C3-200D-2642-FE0F"
    assert {builder.group(code) for code in codes} == {"1f3c3"}
    assert builder.group("1F468-200D-1F9B0") == builder.group("1F469-200D-1F9B0") == "1f9b0"
    assert builder.group("1F468") == "person"
