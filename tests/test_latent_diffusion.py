"""Latent diffusion: autoencoder, U-Net with a text, pipeline; shapes, gradients, laws, one batch, bad input."""

import math

import pytest
import torch
from accelerate import Accelerator

from aigc_lib import diffusion, losses
from aigc_lib.data import shapes
from aigc_lib.models.clip import small_clip
from aigc_lib.models.kl_autoencoder import KLAutoencoder
from aigc_lib.models.unet_text import TextBlock, TextUNet
from aigc_lib.sample.latents import Pipeline, no_prompt
from aigc_lib.training.latents import (
    PARTS,
    WORDINGS,
    any_wording,
    autoencoding,
    encoded,
    optimizers,
    shape_texts,
    text_diffusion,
)
from aigc_lib.training.schedule import scheduler
from aigc_lib.training.splits import Splits

ALPHA_BAR = diffusion.cosine_schedule(1000)
WORDS = " ".join(shapes.words())


def small_unet(text_width=32):
    return TextUNet(text_width, dim=32, middle=32, blocks=1, width=32)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    net = small_unet()
    with torch.no_grad():
        for p in net.parameters():  # the zeros of an untrained network, too
            p.add_(0.05 * torch.randn_like(p))
    return net


@pytest.fixture
def pipe(unet):
    torch.manual_seed(1)
    return Pipeline(small_clip(WORDS, 7, width=32, layers=1), unet, KLAutoencoder(dim=8, middle=16), ALPHA_BAR)


def inputs(B=3, S=9, W=32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    z, text = torch.randn(B, 4, 8, 8, generator=rng), torch.randn(B, S, W, generator=rng)
    return z, torch.randint(1000, (B,), generator=rng), text


def test_the_autoencoder_has_gradients_everywhere_and_fits_one_batch():
    torch.manual_seed(0)
    model = KLAutoencoder(dim=24, middle=48)
    pictures, _ = shapes.shapes(16, generator=torch.Generator().manual_seed(0))
    both = optimizers(model, [model.encoder[1:], model.decoder], 2e-3, 0.02)
    set_rates = scheduler(both, steps=80)
    for step in range(80):
        set_rates(step)
        output, mu, logvar = model(pictures, torch.randn(16, 4, 8, 8))
        parts = losses.kl_autoencoder_loss(output, pictures, mu, logvar, 1e-3)
        if step == 0:
            first = parts["copy"].item()
            assert output.shape == pictures.shape and mu.shape == logvar.shape == (16, 4, 8, 8)
        model.zero_grad()
        parts["loss"].backward()
        if step == 0:
            for name, p in model.named_parameters():
                assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name
        for optimizer in both:
            optimizer.step()
    assert parts["copy"] < 0.25 * first


def test_the_loss_of_the_autoencoder_by_hand():
    x, output = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    mu, logvar = torch.full((2, 4, 1, 1), 2.0), torch.zeros(2, 4, 1, 1)
    parts = losses.kl_autoencoder_loss(output, x, mu, logvar, 0.1)
    assert parts["copy"].item() == pytest.approx(24)  # 48 pixels, each off by one half
    assert parts["kl"].item() == pytest.approx(8)  # 4 numbers, mu^2 / 2 each
    assert parts["loss"].item() == pytest.approx(24.8)
    with pytest.raises(ValueError, match=r"output has shape \(1, 3, 4, 4\), x has"):
        losses.kl_autoencoder_loss(output[:1], x, mu, logvar, 0.1)


def test_the_autoencoder_takes_other_sizes_and_names_wrong_ones():
    model = KLAutoencoder(dim=8, middle=16)
    mu, _ = model.encode(torch.zeros(1, 3, 40, 16))
    assert mu.shape == (1, 4, 10, 4) and model.decode(mu).shape == (1, 3, 40, 16)
    for bad in (torch.zeros(1, 3, 30, 32), torch.zeros(1, 1, 32, 32), torch.zeros(3, 32, 32)):
        with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\), H and W multiples of 4"):
            model.encode(bad)
    with pytest.raises(ValueError, match=r"latents have shape \(1, 3, 8, 8\): expected \(B, 4, h, w\)"):
        model.decode(torch.zeros(1, 3, 8, 8))


def test_the_unet_has_gradients_everywhere(unet):
    z, t, text = inputs()
    v, weights = unet.attend(z, t, text)
    assert v.shape == z.shape
    assert [w.shape for w in weights] == [(3, 4, 64, 9), (3, 4, 16, 9), (3, 4, 64, 9)]
    for w in weights:
        torch.testing.assert_close(w.sum(-1), torch.ones(w.shape[:-1]))
    v.square().sum().backward()
    for name, p in unet.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name
        if "key.bias" not in name:  # a constant in all keys changes no softmax
            assert p.grad.abs().sum() > 0, name


def test_an_untrained_unet_says_zero_and_an_untrained_block_changes_nothing():
    z, t, text = inputs()
    assert torch.equal(small_unet()(z, t, text), torch.zeros_like(z))
    places = torch.randn(2, 16, 32)
    torch.testing.assert_close(TextBlock(32, 4, 32)(places, text[:2]), places)


def test_the_text_is_read_as_a_set_and_each_image_reads_its_own(unet):
    z, t, text = inputs()
    out = unet(z, t, text)
    torch.testing.assert_close(unet(z, t, text.flip(1)), out, atol=1e-4, rtol=1e-4)  # the tower knows the order
    torch.testing.assert_close(unet(z[1:2], t[1:2], text[1:2]), out[1:2], atol=1e-4, rtol=1e-4)
    other = text.clone()
    other[0] += 1
    changed = unet(z, t, other)
    assert not torch.allclose(changed[0], out[0], atol=1e-3)
    torch.testing.assert_close(changed[1:], out[1:], atol=1e-4, rtol=1e-4)


def test_cross_attention_by_sdpa():
    torch.manual_seed(0)
    block, x, text = TextBlock(32, 4, 24).double(), torch.randn(2, 16, 32).double(), torch.randn(2, 9, 24).double()
    q, k, v = block.cross.project(x, text)
    found = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block.cross(x, text), block.cross.out(found))


def test_the_unet_fits_one_batch():
    torch.manual_seed(0)
    net, (z, _, text) = small_unet(), inputs(8)
    both = optimizers(net, net.stages, 2e-3, 0.02)
    set_rates = scheduler(both, steps=150)
    t, eps = torch.full((8,), 600), torch.randn(8, 4, 8, 8)
    xt = diffusion.q_sample(z, t, eps, ALPHA_BAR)
    wanted = diffusion.target("v", z, t, eps, ALPHA_BAR)
    for step in range(150):
        set_rates(step)
        loss = losses.denoising_loss(net(xt, t, text), wanted)
        net.zero_grad()
        loss.backward()
        for optimizer in both:
            optimizer.step()
    assert loss < 0.2 * wanted.square().mean()


def test_bad_input_of_the_unet(unet):
    z, t, text = inputs()
    with pytest.raises(ValueError, match=r"text of shape \(3, 32\): expected \(3, S, 32\), a sequence"):
        unet(z, t, text[:, 0])
    with pytest.raises(ValueError, match=r"text of shape None: expected \(3, S, 32\)"):
        unet(z, t, None)
    with pytest.raises(ValueError, match=r"text of shape \(2, 9, 32\)"):
        unet(z, t, text[:2])
    with pytest.raises(ValueError, match=r"expected \(B, 4, H, W\), H and W multiples of 2"):
        unet(torch.zeros(3, 3, 8, 8), t, text)
    with pytest.raises(ValueError, match="multiples of 2"):
        unet(torch.zeros(3, 4, 7, 8), t, text)


def test_a_prompt_that_cannot_be_read_is_named(pipe):
    rng = torch.Generator()
    with pytest.raises(ValueError, match="word 'pink' in 'a pink circle': expected one of a, at, blue"):
        pipe.draw(["a pink circle"], rng)
    with pytest.raises(ValueError, match="text '' has 0 words: expected 1 to 7"):
        pipe.draw([""], rng)
    with pytest.raises(ValueError, match=r"expected a list of them, \['a red circle'\]"):
        pipe.draw("a red circle", rng)
    with pytest.raises(ValueError, match="1 negative prompts: expected 2, as prompts"):
        pipe.towards(["a red circle"] * 2, 3.0, ["blue"])
    with pytest.raises(ValueError, match=r"images have shape \(1, 3, 30, 30\): expected \(B, 3, H, W\)"):
        pipe.encode(torch.zeros(1, 3, 30, 30))
    with pytest.raises(ValueError, match="w nan"):
        pipe.draw(["a red circle"], rng, w=math.nan)


def test_the_scale_goes_in_and_out(pipe):
    pictures, _ = shapes.shapes(4, generator=torch.Generator().manual_seed(0))
    one = pipe.encode(pictures)
    copy = pipe.decode(one)
    pipe.unet.scale.fill_(0.2)
    torch.testing.assert_close(pipe.encode(pictures), 0.2 * one)
    torch.testing.assert_close(pipe.decode(0.2 * one), copy, atol=1e-5, rtol=1e-4)
    assert copy.abs().max() <= 1


def test_no_prompt_is_a_start_and_an_end(pipe):
    nothing, said = pipe.nothing(2), pipe.read(["a red circle at the top", "blue"])
    assert nothing.shape == said.shape == (2, 9, 32)
    torch.testing.assert_close(nothing[0], nothing[1])
    torch.testing.assert_close(nothing, no_prompt(pipe.clip, 2))
    torch.testing.assert_close(nothing[:, 0], said[:, 0])  # a start has read nothing
    assert not torch.allclose(nothing[:, 1], said[:, 1], atol=1e-3)


def test_guidance_lies_on_the_line_through_two_denoisers(pipe):
    z, t, _ = inputs(2)
    wish, negative = ["a red circle", "blue"], ["at the top", "green"]
    with_text, without = pipe.towards(wish, 1.0)(z, t), pipe.towards(wish, 0.0)(z, t)
    torch.testing.assert_close(pipe.towards(wish, 3.0)(z, t), without + 3 * (with_text - without))
    away = pipe.towards(negative, 1.0)(z, t)
    torch.testing.assert_close(pipe.towards(wish, 3.0, negative)(z, t), away + 3 * (with_text - away))


def test_drawing_depends_on_the_seed_and_on_the_prompt(pipe):
    def draw(prompt, seed):
        return pipe.draw([prompt], torch.Generator().manual_seed(seed), steps=3)

    first = draw("a red circle", 0)
    assert first.shape == (1, 3, 32, 32)
    assert torch.equal(first, draw("a red circle", 0))
    assert not torch.allclose(first, draw("a red circle", 1)) and not torch.allclose(first, draw("a blue ring", 0))


def test_texts_of_shapes_say_what_their_combination_is():
    known, _ = shapes.combinations()
    texts = shape_texts(known[:3])
    assert len(texts) == 3 * (WORDINGS + PARTS)
    for i, label in enumerate(known[:3]):
        own = texts[10 * i : 10 * i + 10]
        assert all(torch.equal(shapes.parse(text), label) for text in own[:WORDINGS])
        for text in own[WORDINGS:]:
            with pytest.raises(ValueError, match="expected one"):
                shapes.parse(text)
    keys = torch.arange(3).repeat(400)
    rows = any_wording(keys, torch.Generator().manual_seed(0))
    assert torch.equal(rows // 10, keys) and set((rows % 10).tolist()) == set(range(10))
    assert (rows % 10 < WORDINGS).float().mean().item() == pytest.approx(0.7, abs=0.05)


def test_the_jobs_train_on_scaled_latents_and_hide_one_text_in_ten():
    rng = torch.Generator().manual_seed(0)
    pictures, _ = shapes.shapes(64, generator=rng)
    accelerator, model = Accelerator(cpu=True), KLAutoencoder(dim=8, middle=16)
    job = autoencoding(model, Splits((pictures,), (), ""), accelerator, rng, beta=0.1, batch_size=8)
    logs = job.update(next(iter(job.batches)))
    assert logs.keys() == {"loss", "copy", "kl"} and torch.isfinite(logs["loss"])

    latents = 5 * encoded(model, pictures)
    texts, unet = torch.randn(65, 9, 32), small_unet()
    splits = Splits((latents, torch.arange(64)), (), "")
    job = text_diffusion(unet, texts, splits, accelerator, rng, ALPHA_BAR, pick=lambda key, rng: key, batch_size=32)
    assert unet.scale.item() == pytest.approx(1 / latents.std().item())
    stream = iter(job.batches)
    rows = torch.cat([next(stream)[1] for _ in range(60)])
    assert (rows == 64).float().mean().item() == pytest.approx(0.1, abs=0.03)
    job.update(next(stream))
    assert job.model.scale.item() == unet.scale.item() and job.model is not unet


def test_no_signal_is_left_at_the_end_of_a_rescaled_schedule():
    theirs = diffusion.scaled_linear_schedule()
    assert theirs[-1].sqrt().item() == pytest.approx(0.0683, abs=2e-4)  # Lin et al. 2023, table 1
    cured = diffusion.zero_terminal_snr(theirs)
    assert cured[0].item() == pytest.approx(theirs[0].item()) and cured[-1] < 1e-11
    diffusion.expect_schedule(cured)
    with pytest.raises(ValueError, match="expected at least 2"):
        diffusion.zero_terminal_snr(torch.tensor([0.5]))


def test_memories_of_another_width():
    from aigc_lib.nn.attention import MultiHeadAttention

    layer = MultiHeadAttention(8, 2, memory_width=6)
    x, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    assert layer(x, memory).shape == (2, 5, 8)
    for bad in (None, torch.randn(2, 3, 8)):
        with pytest.raises(ValueError, match=r"memory has shape .*: expected \(batch, places, 6\)"):
            layer(x, bad)


def test_recipes_lean_on_what_they_read():
    from aigc_lib import recipes

    for name, tower in (("ldm_shapes", "clip_shapes"), ("ldm_emoji", "clip_emoji")):
        recipe = recipes.recipe(name)
        assert recipe.LEANS_ON == ("kl_pictures", tower)
        with pytest.raises(ValueError, match="file x.npz"):
            recipe.load_data("x.npz")
    assert isinstance(recipes.recipe("kl_pictures").build(), KLAutoencoder)
