"""DALL-E: rows, shapes, gradients, one batch overfitted, and the laws of a causal model of pairs."""

import math

import pytest
import torch

from aigc_lib import data, evaluate, losses
from aigc_lib.data import shapes
from aigc_lib.models.dalle import DALLE
from aigc_lib.models.vqvae import VQVAE, Codebook, decoder, encoder
from aigc_lib.sample.pictures import Guided, best_of, draw_tokens, fit_to_text, paint
from aigc_lib.training.captions import every_drawing, hidden, name_rows, shape_rows, shifted
from aigc_lib.training.language import language_model
from aigc_lib.training.run import accelerate

WORDS = data.Words(shapes.words(), 7)
K = 16


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def shaken(model):
    """The same model with a head and blocks that are not zero, as after some training."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng()))
    return model


def small(shape=(3, 4), width=32):
    torch.manual_seed(0)
    return DALLE(WORDS, K, shape, layers=2, heads=2, width=width)


def some_rows(model, n=6, seed=0):
    known, _ = shapes.combinations()
    labels = known[torch.randperm(len(known), generator=rng(seed))[:n]]
    pictures = torch.randint(K, (n, *model.shape), generator=rng(seed))
    return model.rows(model.captions(shapes.captions(labels)), pictures), pictures


def tiny_vqvae(codes=K):
    torch.manual_seed(0)
    first, last = (make(4, 8, colours=3) for make in (encoder, decoder))
    return VQVAE(first, Codebook(codes, 4), last)


def test_rows_hold_a_caption_and_a_picture_and_give_both_back():
    model = small()
    rows, pictures = some_rows(model)
    assert rows.shape == (6, 9 + 12) and rows.dtype == torch.int64
    assert torch.equal(model.pictures(rows), pictures)
    assert rows[:, :9].max() < len(WORDS) <= rows[:, 9:].min() and rows.max() < len(WORDS) + K
    assert WORDS.decode(rows[:1, :9])[0].split()[0] == "a"
    assert WORDS.decode(model.blank()[None]) == [""] and model.blank()[0] == WORDS.start


def test_shapes_first_loss_and_finite_gradients_for_every_parameter():
    model = small()
    rows, _ = some_rows(model)
    logits = model(rows[:, :-1])
    assert logits.shape == (6, 20, len(WORDS) + K)
    parts = losses.text_image_loss(logits, rows[:, 1:], model.text - 1)
    for value in parts.values():  # an untrained model gives every token the same probability
        torch.testing.assert_close(value.item(), math.log(len(WORDS) + K), rtol=1e-5, atol=0)
    shaken(model)
    losses.text_image_loss(model(rows[:, :-1]), rows[:, 1:], model.text - 1)["loss"].backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


def test_overfits_one_batch_and_then_draws_it():
    model = small()
    rows, pictures = some_rows(model, 4)
    loss_of = lambda a, b: losses.text_image_loss(a, b, model.text - 1)  # noqa: E731
    job = language_model(model, [], accelerate(), "", loss_of=loss_of)
    for _ in range(150):
        parts = job.update((rows,))
    assert parts["image"] < 0.05
    drawn = draw_tokens(model.eval(), rows[:, : model.text], temperature=0.1, generator=rng())
    assert (drawn == pictures).float().mean() > 0.95


def test_a_future_token_leaves_past_logits_alone():
    model = shaken(small())
    rows, _ = some_rows(model)
    before = model(rows[:, :-1])
    for place in (3, 8, 9, 15, 19):
        other = rows.clone()
        other[:, place] = (other[:, place] + 1) % (len(WORDS) + K)
        after = model(other[:, :-1])
        torch.testing.assert_close(after[:, :place], before[:, :place])
        assert not torch.allclose(after[:, place:], before[:, place:])


def test_a_place_has_its_line_and_its_column():
    """Equal tokens at places of one column differ by the vectors of their lines alone."""
    model = small()
    same = torch.full((1, 20), 30)
    x = model._embed(same, None, 0)[0, 9:]  # (11, C)
    line, column = model.line.weight, model.column.weight
    torch.testing.assert_close(x[5] - x[1], line[1] - line[0])
    torch.testing.assert_close(x[6] - x[5], column[2] - column[1])
    torch.testing.assert_close(model._embed(same[:, :2], None, 14)[0], x[5:7])


def test_the_log_likelihood_splits_into_text_and_image():
    model = shaken(small())
    rows, _ = some_rows(model)
    nats = evaluate.pair_nats(model, rows, model.text, batch_size=4)
    log_p = model(rows[:, :-1]).log_softmax(-1).gather(-1, rows[:, 1:, None])[..., 0]
    torch.testing.assert_close(nats.sum(1), -log_p.sum(1))
    torch.testing.assert_close(nats[:, 0], -log_p[:, :8].sum(1))
    with torch.no_grad():  # the caption's price does not depend on the picture
        other = torch.cat((rows[:, : model.text], rows[:, model.text :].flip(1)), 1)
        torch.testing.assert_close(evaluate.pair_nats(model, other, model.text)[:, 0], nats[:, 0])
    parts = losses.text_image_loss(model(rows[:, :-1]), rows[:, 1:], 8, weight=0.25)
    expected = 0.25 * nats[:, 0].mean() / 8 + 0.75 * nats[:, 1].mean() / 12
    torch.testing.assert_close(parts["loss"], expected)


@pytest.mark.parametrize("w", [1.0, 2.5])
def test_the_cache_changes_no_token(w):
    model = shaken(small())
    captions = model.captions(["a red circle at the left", "blue ring, top"])
    drawn = [draw_tokens(model, captions, w=w, generator=rng(), cached=cached) for cached in (True, False)]
    assert torch.equal(*drawn) and drawn[0].shape == (2, 3, 4) and 0 <= drawn[0].min() <= drawn[0].max() < K


@torch.no_grad()
def test_guidance_is_a_line_through_both_readings():
    model = shaken(small()).eval()
    rows, _ = some_rows(model)
    some = rows[:, :13]
    without = some.clone()
    without[:, :9] = model.blank()
    towards, away = model.next_logits(some), model.next_logits(without)
    for w in (0.0, 1.0, 3.0):
        guided = Guided(model, model.blank(), w)
        torch.testing.assert_close(guided.next_logits(some), away + w * (towards - away))
        cache = guided.new_cache(6)
        guided.next_logits(some[:, :9], cache)
        cached = [guided.next_logits(some[:, i : i + 1], cache) for i in range(9, 13)][-1]
        torch.testing.assert_close(cached, guided.next_logits(some), atol=1e-5, rtol=1e-4)
    p = (away + 3 * (towards - away)).softmax(1)
    tilted = towards.softmax(1) ** 3 * away.softmax(1) ** -2
    torch.testing.assert_close(p, tilted / tilted.sum(1, keepdim=True))


def test_given_lines_stay_and_a_complete_picture_comes_back():
    model = shaken(small())
    rows, pictures = some_rows(model)
    captions = rows[:, : model.text]
    for lines in range(4):
        drawn = draw_tokens(model, captions, given=pictures[:, :lines], generator=rng())
        assert torch.equal(drawn[:, :lines], pictures[:, :lines])
    assert torch.equal(drawn, pictures)


def test_paint_gives_n_pictures_for_each_text():
    model, vqvae = shaken(small((8, 8))), tiny_vqvae()
    texts = ["a red circle at the left", "blue ring, top"]
    drawn = paint(model, vqvae, texts, n=3, w=2.0, generator=rng())
    assert drawn.shape == (2, 3, 3, 32, 32) and drawn.min() >= -1 and drawn.max() <= 1
    pictures, _ = shapes.shapes(2, generator=rng())
    drawn = paint(model, vqvae, texts, n=3, given=pictures, lines=5, generator=rng())
    kept = vqvae.encode(pictures)[:, :5]
    again = draw_tokens(
        model, model.captions(texts).repeat_interleave(3, 0), given=kept.repeat_interleave(3, 0), generator=rng()
    )
    torch.testing.assert_close(drawn.flatten(0, 1), vqvae.decode(again))


def test_bad_input_is_named():
    model, vqvae = small((8, 8)), tiny_vqvae()
    with pytest.raises(ValueError, match="word 'pink' in 'a pink ring': expected one of a, at, blue, bottom"):
        paint(model, vqvae, ["a pink ring"])
    for empty in ("", " ,;"):
        with pytest.raises(ValueError, match="has 0 words: expected 1 to 7"):
            paint(model, vqvae, [empty])
    with pytest.raises(ValueError, match=r"expected a list of them, \['a red ring'\]"):
        paint(model, vqvae, "a red ring")
    with pytest.raises(ValueError, match="a codebook of 32 codes: expected 16"):
        paint(model, tiny_vqvae(32), ["a red ring"])
    with pytest.raises(ValueError, match=r"pictures \(1, 3, 28, 28\) have \(1, 7, 7\) tokens: expected \(1, 8, 8\)"):
        paint(model, vqvae, ["a red ring"], given=torch.zeros(1, 3, 28, 28), lines=2)
    with pytest.raises(ValueError, match="lines=9: expected 0 to 8"):
        paint(model, vqvae, ["a red ring"], given=torch.zeros(1, 3, 32, 32), lines=9)
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\), H and W multiples of 4"):
        paint(model, vqvae, ["a red ring"], given=torch.zeros(1, 3, 30, 30), lines=2)
    with pytest.raises(ValueError, match="n=0"):
        paint(model, vqvae, ["a red ring"], n=0)
    with pytest.raises(ValueError, match="w nan: expected a finite number"):
        paint(model, vqvae, ["a red ring"], w=math.nan)
    captions = model.captions(["a red ring"])
    with pytest.raises(ValueError, match=r"\(1, 7, 7\): expected \(B, 8, 8\)"):
        model.rows(captions, torch.zeros(1, 7, 7, dtype=torch.int64))
    with pytest.raises(ValueError, match="tokens from 0 to 16: expected 0 to 15, the codes of this model's codebook"):
        model.rows(captions, torch.zeros(1, 8, 8, dtype=torch.int64).index_fill(2, torch.tensor(3), K))
    with pytest.raises(ValueError, match=r"captions \(1, 5\): expected \(B, 9\)"):
        model.rows(captions[:, :5], torch.zeros(1, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match="tokens: expected at most 72"):
        model(torch.zeros(1, 73, dtype=torch.int64))


def test_the_loss_names_bad_arguments():
    logits, targets = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.int64)
    for text in (0, 5):
        with pytest.raises(ValueError, match=f"text={text}: expected 1 to 4"):
            losses.text_image_loss(logits, targets, text)
    with pytest.raises(ValueError, match="weight=2: expected 0 to 1"):
        losses.text_image_loss(logits, targets, 2, 2)


def test_the_best_of_several():
    class Says:  # the first pixel is the similarity
        def parameters(self):
            yield torch.zeros(1)

        def encode_text(self, texts):
            return torch.tensor([[1.0, 0.0]]).expand(len(texts), -1)

        def encode_image(self, images):
            return images[:, 0, 0, :2]

    pictures = torch.randn(4, 5, 3, 2, 2, generator=rng())
    scores = fit_to_text(Says(), pictures, ["a"] * 4)
    torch.testing.assert_close(scores, pictures[:, :, 0, 0, 0])
    best = best_of(pictures, scores)
    assert best.shape == (4, 3, 2, 2) and torch.equal(best[:, 0, 0, 0], scores.max(1).values)
    with pytest.raises(ValueError, match=r"scores \(4, 4\)"):
        best_of(pictures, scores[:, :4])


def test_rows_to_train_on():
    model = small()
    labels = shapes.combinations()[0][:200]
    pictures = torch.randint(K, (200, 3, 4), generator=rng())
    (rows,) = next(shape_rows(iter([(pictures, labels)]), model, rng()))
    assert torch.equal(model.pictures(rows), pictures)
    said = WORDS.decode(rows[:, : model.text])
    silent = [text == "" for text in said]
    assert 5 < sum(silent) < 40
    for text, label in zip(said, labels, strict=True):
        assert text == "" or torch.equal(shapes.parse(text), label)
    assert len({" ".join(sorted(t.split()[:2])) for t in said}) > 10 and said[0].split() != said[1].split()
    assert not torch.equal(hidden(model, rows, rng(1)), rows)


def test_names_lose_a_word_now_and_then_but_not_all():
    names = ["red heart", "cat"]
    torch.manual_seed(0)
    model = DALLE(data.Words(["cat", "heart", "red"], 3), K, (2, 2), 1, 2, 8)
    pictures = torch.randint(K, (400, 2, 2), generator=rng())
    numbers = torch.arange(400) % 2
    (rows,) = next(name_rows(iter([(pictures, numbers)]), names, model, rng(), leave_out=0.3))
    said = model.words.decode(rows[:, : model.text])
    assert set(said[::2]) == {"red heart", "red", "heart", ""} and set(said[1::2]) == {"cat", ""}
    assert torch.equal(model.pictures(rows), pictures)


def test_all_drawings_are_those_of_the_known_combinations():
    vqvae = tiny_vqvae()
    tokens, labels = every_drawing(vqvae)
    known, _ = shapes.combinations()
    assert len(tokens) == len(labels) == 27 * len(known) and torch.equal(labels.unique(dim=0), known.unique(dim=0))
    assert torch.equal(
        tokens[:1], vqvae.encode(shapes.draw_shapes(known[:1], shapes.RADII[0], torch.tensor([[-1, -1]])))
    )


def test_shifted_pictures_have_white_where_nothing_was():
    images = torch.rand(2, 3, 4, 4, generator=rng()) - 1
    found = shifted(images).view(9, 2, 3, 4, 4)
    assert torch.equal(found[4], images)
    assert torch.equal(found[0][..., 1:, 1:], images[..., :-1, :-1]) and (found[0][..., 0, :] == 1).all()
