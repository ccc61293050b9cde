"""The drawn shapes, their captions and what is read from pictures."""

import pytest
import torch

from aigc_lib.data import shapes


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_only_the_three_together_are_new_in_the_held_out_part():
    train, held_out = shapes.combinations()
    every = {tuple(row) for row in torch.cat((train, held_out)).tolist()}
    assert len(every) == len(train) + len(held_out) == 8 * 6 * 9
    for columns in ([0, 1], [0, 2], [1, 2]):
        seen = {tuple(row) for row in train[:, columns].tolist()}
        assert {tuple(row) for row in held_out[:, columns].tolist()} <= seen
    assert 0.15 < len(held_out) / len(every) < 0.25


@pytest.mark.parametrize("split", ["train", "held out"])
def test_a_drawing_is_read_back_without_a_mistake(rng, split):
    images, labels = shapes.shapes(500, split, rng)
    assert images.shape == (500, 3, 32, 32) and -1 <= images.min() < images.max() <= 1
    torch.testing.assert_close(shapes.read_shapes(images), labels)
    torch.testing.assert_close(shapes.read_shapes(images + 0.03 * torch.randn(images.shape, generator=rng)), labels)
    parts = dict(zip(("train", "held out"), shapes.combinations(), strict=True))
    assert (labels[:, None] == parts[split]).all(-1).any(1).all()


def test_what_is_no_drawing_is_not_read(rng):
    images, _ = shapes.shapes(2, generator=rng)
    both = images.amax(0, keepdim=True)  # two shapes in one picture
    nothing = torch.stack((torch.full((3, 32, 32), -1.0), torch.rand(3, 32, 32, generator=rng) * 2 - 1, both[0]))
    assert (shapes.read_shapes(nothing) == -1).all()


def test_a_shape_covers_the_area_that_geometry_says():
    labels = torch.stack((torch.full((6,), 7), torch.arange(6), torch.full((6,), 4)), 1)  # white, in the centre
    areas = ((shapes.draw_shapes(labels, 6.0) + 1) / 2).mean(1).sum((1, 2))
    r = 6.0
    circle, square = 3.1416 * r * r, (1.7 * r) ** 2
    cross = 2 * (2 * r) * (0.6 * r) - (0.6 * r) ** 2
    triangle = 1.8 * r * 1.8 * r / 2  # base and height
    exact = torch.tensor([circle, square, triangle, 2 * (1.15 * r) ** 2, cross, circle * (1 - 0.25)])
    torch.testing.assert_close(areas, exact, rtol=0.05, atol=0.0)


def test_the_colour_is_that_of_the_palette_and_the_place_that_of_the_grid():
    for i, (row, column) in enumerate(shapes.POSITIONS.values()):
        image = (shapes.draw_shapes(torch.tensor([[0, 1, i]]))[0] + 1) / 2
        y, x = 8 * (row + 1), 8 * (column + 1)
        torch.testing.assert_close(image[:, y, x], torch.tensor(shapes.COLOURS["red"]))
        weight = image[0] / image[0].sum()
        centre = (weight.sum(1) * (torch.arange(32) + 0.5)).sum(), (weight.sum(0) * (torch.arange(32) + 0.5)).sum()
        torch.testing.assert_close(torch.stack(centre), torch.tensor([float(y), float(x)]))


def test_every_wording_of_every_caption_is_parsed_back(rng):
    every = torch.cat(shapes.combinations())
    for _ in range(4):
        for caption, row in zip(shapes.captions(every, rng), every, strict=True):
            assert shapes.parse(caption).tolist() == row.tolist(), caption
    assert len(set(shapes.captions(every))) == len(every)
    said = " ".join(shapes.captions(every.repeat(8, 1), rng)).replace(",", "").split()
    assert set(said) == set(shapes.words())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shapes.shapes(0), "n=0: expected at least 1"),
        (lambda: shapes.shapes(3, "test"), "split='test': expected 'train' or 'held out'"),
        (lambda: shapes.parse("a pink circle at the top"), "word 'pink': expected one of a, at, blue"),
        (lambda: shapes.parse("a circle at the top"), "expected one colour of red, orange"),
        (lambda: shapes.parse("a red blue circle, top"), "expected one colour .* not 2"),
        (lambda: shapes.parse(""), "expected one colour"),
        (lambda: shapes.draw_shapes(torch.tensor([[0, 6, 0]])), "shape 6: expected 0 to 5"),
        (lambda: shapes.captions(torch.tensor([[0, -1, 0]])), "shape -1: expected 0 to 5"),
        (lambda: shapes.draw_shapes(torch.zeros(3, 3)), "labels .3, 3. of torch.float32: expected .B, 3. int64"),
        (lambda: shapes.read_shapes(torch.zeros(2, 1, 28, 28)), "images .2, 1, 28, 28.: expected .B, 3, 32, 32."),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
