"""CLIP: shapes, gradients, one batch overfitted, what it says to bad input; its losses, by law and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from aigc_lib import data, evaluate, losses
from aigc_lib.data import shapes
from aigc_lib.models.clip import CLIP, ImageTower, TextTower, small_clip
from aigc_lib.training.pairs import drawn, emoji_pairs, pair_optimizers, shape_pairs
from aigc_lib.training.schedule import scheduler

WORDS = " ".join(shapes.words())


def batch(n=16, seed=0):
    """n pairs, no two of one combination."""
    rng = torch.Generator().manual_seed(seed)
    known, _ = shapes.combinations()
    labels = known[torch.randperm(len(known), generator=rng)[:n]]
    return next(drawn(iter([(labels,)]), data.Words(shapes.words(), 7), rng))


@pytest.fixture
def clip():
    torch.manual_seed(0)
    return small_clip(WORDS, 7, width=32, layers=1)


def vectors(n, d=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2, n, d, generator=rng, dtype=torch.float64), dim=2)


def test_shapes_and_finite_gradients_for_every_parameter(clip):
    images, tokens = batch()
    u, v, scale = clip(images, tokens)
    assert u.shape == v.shape == (16, 64) and scale.shape == ()
    torch.testing.assert_close(u.norm(dim=1), torch.ones(16))
    torch.testing.assert_close(v.norm(dim=1), torch.ones(16))
    assert clip.image(images).shape == (16, 17, 32) and clip.text(tokens).shape == (16, 9, 32)
    losses.contrastive_loss(u, v, scale)["loss"].backward()
    for name, p in clip.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


def test_overfits_one_batch(clip):
    images, tokens = batch(8)
    optimizers = pair_optimizers(clip)
    set_rates = scheduler(optimizers, steps=120)
    for step in range(120):
        set_rates(step)
        loss = losses.contrastive_loss(*clip(images, tokens))["loss"]
        clip.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert loss < 0.2 * math.log(8)


def test_an_untrained_model_starts_near_log_n(clip):
    loss = losses.contrastive_loss(*clip(*batch(32))[:2], scale=1.0)["loss"]
    assert loss.item() == pytest.approx(math.log(32), abs=0.3)


def test_the_scale_is_limited_where_it_has_a_slope_below(clip):
    assert clip.scale.item() == pytest.approx(1 / 0.07)
    clip.log_scale.data.fill_(9.0)
    assert clip.scale.item() == pytest.approx(100)


def test_a_text_is_read_from_the_left_and_pooled_at_its_end(clip):
    tokens = clip.tokens(["a red circle at the top", "a red circle at the left"])
    first, second = clip.text(tokens)
    torch.testing.assert_close(first[:6], second[:6])  # start and five words
    assert not torch.allclose(first[6:], second[6:])
    longer = F.pad(tokens[:, :8], (0, 1), value=3)  # what stands after the end does not count
    torch.testing.assert_close(clip.encode_tokens(longer), clip.encode_tokens(tokens))


def test_one_image_does_not_change_with_its_batch(clip):
    images, _ = batch(4)
    torch.testing.assert_close(clip.encode_image(images)[1:2], clip.encode_image(images[1:2]))


def test_bad_input_is_named(clip):
    with pytest.raises(ValueError, match="word 'pink' in 'a pink circle': expected one of a, at, blue, bottom"):
        clip.encode_text(["a pink circle"])
    for empty in ("", " ,;"):
        with pytest.raises(ValueError, match="has 0 words: expected 1 to 7"):
            clip.encode_text([empty])
    with pytest.raises(ValueError, match="has 8 words: expected 1 to 7"):
        clip.encode_text(["a red circle at the top left a"])
    with pytest.raises(ValueError, match=r"expected a list of them, \['a red circle'\]"):
        clip.encode_text("a red circle")
    with pytest.raises(ValueError, match=r"images have shape \(1, 3, 28, 28\): expected \(B, 3, 32, 32\)"):
        clip.encode_image(torch.zeros(1, 3, 28, 28))
    with pytest.raises(ValueError, match=r"\(1, 1, 32, 32\)"):
        clip.encode_image(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ValueError, match="10 tokens: expected at most 9"):
        clip.encode_tokens(torch.ones(1, 10, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"expected an end, \d+, in every row"):
        clip.encode_tokens(torch.ones(1, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match="size=32, patch=7"):
        ImageTower(32, 7, 8, 2, 1)
    foreign = CLIP(ImageTower(32, 8, 8, 2, 1), TextTower(9, 5, 8, 8, 2, 1), 4)
    with pytest.raises(ValueError, match="no list of words"):
        foreign.encode_text(["a"])


def test_words_come_back_and_a_large_vocabulary_offers_the_nearest():
    words = data.Words(["b", "a", "c"], 3)
    assert words.nothing().tolist() == [4, 5, 0, 0, 0] and words.decode(words.nothing()[None]) == [""]
    assert len(words) == 6 and (words.start, words.end) == (4, 5)
    tokens = words.encode(["A, b.", "c"])
    assert tokens.tolist() == [[4, 2, 1, 5, 0], [4, 3, 5, 0, 0]]
    assert words.decode(tokens) == ["a b", "c"]
    assert words.encode([]).shape == (0, 5)
    with pytest.raises(ValueError, match="no word twice"):
        data.Words(["a", "a"], 3)
    many = data.Words([f"number{i}" for i in range(50)], 3)
    with pytest.raises(ValueError, match="word 'numbr7' in 'numbr7': expected one of 50 known words, such as number7"):
        many.encode(["numbr7"])


def test_two_pairs_by_hand():
    """Cosines 1, 0 / 0.6, 0.8 and temperature 1/2: four softmaxes of two numbers."""
    u = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    v = torch.eye(2)
    parts = losses.contrastive_loss(u, v, 2.0)
    image = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1.2 - 1.6))) / 2
    text = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(-1.6))) / 2
    assert parts["image"].item() == pytest.approx(image)
    assert parts["text"].item() == pytest.approx(text)
    assert parts["loss"].item() == pytest.approx((image + text) / 2)
    siglip = losses.siglip_loss(u, v, 2.0, -1.0)
    softplus = lambda x: math.log(1 + math.exp(x))  # noqa: E731
    assert siglip["pairs"].item() == pytest.approx((softplus(-1) + softplus(-0.6)) / 2)
    assert siglip["others"].item() == pytest.approx((softplus(-1) + softplus(0.2)) / 2)
    assert siglip["loss"].item() == pytest.approx(siglip["pairs"].item() + siglip["others"].item())


def test_laws_of_the_loss():
    u, v = vectors(6)
    parts = losses.contrastive_loss(u, v, 7.0)
    order = torch.randperm(6)
    torch.testing.assert_close(losses.contrastive_loss(u[order], v[order], 7.0), parts)  # the order does not count
    swapped = losses.contrastive_loss(v, u, 7.0)
    torch.testing.assert_close((swapped["image"], swapped["text"]), (parts["text"], parts["image"]))
    same = u[:1].expand(6, -1)
    assert losses.contrastive_loss(same, same, 7.0)["loss"].item() == pytest.approx(math.log(6))
    axes = torch.eye(6)
    assert losses.contrastive_loss(axes, axes, 50.0)["loss"].item() < 1e-6
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    torch.testing.assert_close(losses.contrastive_loss(u @ turn, v @ turn, 7.0), parts)


def test_the_gradient_is_probability_minus_one_for_the_right_one():
    logits = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)
    loss = losses.contrastive_loss(logits, torch.eye(5, dtype=torch.float64), 1.0)["image"]
    (slope,) = torch.autograd.grad(loss, logits)
    expected = (logits.softmax(1) - torch.eye(5)) / 5
    torch.testing.assert_close(slope, expected, atol=1e-6, rtol=1e-5)


def test_the_bound_on_mutual_information_holds_for_the_best_critic():
    rng, rho, d, n = torch.Generator().manual_seed(0), 0.8, 4, 64
    truth, found = -d / 2 * math.log(1 - rho**2), []
    for _ in range(50):
        x, noise = torch.randn(2, n, d, generator=rng)
        y = rho * x + math.sqrt(1 - rho**2) * noise
        spread = (y - rho * x[:, None]).square().sum(2) / (1 - rho**2)
        ratio = -spread / 2 + y.square().sum(1) / 2
        found.append(math.log(n) - F.cross_entropy(ratio, torch.arange(n)).item())
    assert 0.8 * truth < sum(found) / 50 < truth


def test_losses_name_bad_shapes():
    u, v = vectors(4)
    for loss in (losses.contrastive_loss, lambda *x: losses.siglip_loss(*x, -1.0)):
        with pytest.raises(ValueError, match=r"images \(4, 5\) and texts \(3, 5\): expected \(N, D\) twice"):
            loss(u, v[:3], 1.0)
        with pytest.raises(ValueError, match="expected"):
            loss(u[0], v[0], 1.0)
    with pytest.raises(ValueError, match="1 pair: expected at least 2"):
        losses.contrastive_loss(u[:1], v[:1], 1.0)


def test_recall_and_choice():
    similar = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.5, 0.4, 0.1, 0.0], [0.1, 0.2, 0.0, 0.3]])
    right = torch.tensor([0, 1, 2])  # ranks 1, 2, 4
    assert evaluate.recall(similar, right, 1) == pytest.approx(1 / 3)
    assert evaluate.recall(similar, right, 2) == pytest.approx(2 / 3)
    assert evaluate.recall(similar, right, 4) == 1
    assert evaluate.choice(similar, right, 2) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert evaluate.choice(similar, right, 4) == pytest.approx(evaluate.recall(similar, right, 1))
    nothing = torch.zeros(5, 5)  # a model that says nothing is not right by chance of the order
    assert evaluate.recall(nothing, torch.arange(5), 1) == 0
    with pytest.raises(ValueError, match="k=5: expected 1 to 4"):
        evaluate.recall(similar, right, 5)
    with pytest.raises(ValueError, match="ways=5: expected 2 to 4"):
        evaluate.choice(similar, right, 5)
    with pytest.raises(ValueError, match=r"right \(2,\)"):
        evaluate.recall(similar, right[:2])
    with pytest.raises(ValueError, match="columns from 0 to 3"):
        evaluate.recall(similar, right + 2)


def test_choice_is_the_mean_over_draws():
    rng = torch.Generator().manual_seed(0)
    similar, right = torch.randn(200, 30, generator=rng), torch.randint(30, (200,), generator=rng)
    similar[torch.arange(200), right] += 1.0
    hits = 0
    for _ in range(200):
        keys = torch.rand(200, 30, generator=rng).scatter(1, right[:, None], 2.0)  # the right one is always drawn
        drawn_columns = keys.topk(8).indices
        best = drawn_columns.gather(1, similar.gather(1, drawn_columns).argmax(1, keepdim=True))[:, 0]
        hits += (best == right).double().mean().item() / 200
    assert evaluate.choice(similar, right, 8) == pytest.approx(hits, abs=0.01)


def test_the_data_of_the_recipes():
    splits = shape_pairs()
    known, held_out = shapes.combinations()
    assert torch.equal(splits.training[0], known)
    pictures, labels = splits.held_out
    assert torch.equal(labels.unique(dim=0), held_out.unique(dim=0)) and len(pictures) == 8 * len(held_out)
    torch.testing.assert_close(shapes.read_shapes(pictures[::8]), labels[::8])
    emoji = emoji_pairs()
    words = data.Words(emoji.characters.split(), 11)
    held_out = data.emoji("held out")
    assert words.decode(emoji.held_out[1][:1]) == [" ".join(data.words.split(held_out.names[0]))]
    for load in (shape_pairs, emoji_pairs):
        with pytest.raises(ValueError, match="file x.npz: this recipe has its own"):
            load("x.npz")
