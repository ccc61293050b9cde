"""Latent diffusion in diffusers: our weights in its attention block, the KL and the scale, the parts of a pipeline."""

import json

import pytest
import torch

from aigc_lib import diffusion
from aigc_lib.losses import gaussian_kl
from aigc_lib.models.unet_text import TextBlock
from aigc_lib.models.vae import reparameterize

diffusers = pytest.importorskip("diffusers")


def random_block(C=32, heads=4, text_width=24):
    torch.manual_seed(0)
    block = TextBlock(C, heads, text_width)
    with torch.no_grad():
        for p in block.parameters():  # the zeros of an untrained block, too
            p.add_(0.2 * torch.randn_like(p))
    return block


def test_our_block_is_theirs_in_outputs_and_gradients():
    # [block]
    from diffusers.models.attention import BasicTransformerBlock

    ours = random_block(C=32, heads=4, text_width=24)
    theirs = BasicTransformerBlock(
        32,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=24,
        activation_fn="gelu",
        attention_bias=True,
        ff_inner_dim=64,
    )
    names = {  # ours -> theirs
        "norms.0": "norm1",
        "norms.1": "norm2",
        "norms.2": "norm3",
        "attention": "attn1",
        "cross": "attn2",
        "query": "to_q",
        "key": "to_k",
        "value": "to_v",
        "out": "to_out.0",
        "feed_forward.up": "ff.net.0.proj",
        "feed_forward.down": "ff.net.2",
    }

    def their_name(name):
        for mine, other in names.items():
            name = name.replace(mine, other)
        return name

    state = {their_name(name): p for name, p in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = torch.randn(2, 64, 32, requires_grad=True)
    text = torch.randn(2, 9, 24, requires_grad=True)
    inputs = [(x, text, *ours.parameters())]
    mine = {their_name(name): p for name, p in ours.named_parameters()}
    inputs.append((x, text, *(dict(theirs.named_parameters())[n] for n in mine)))
    outputs = [ours(x, text), theirs(x, encoder_hidden_states=text)]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    upstream = torch.randn(2, 64, 32)
    slopes = []
    for output, wanted in zip(outputs, inputs, strict=True):
        slopes.append(torch.autograd.grad(output, wanted, upstream))
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)
    # [/block]


def test_gradients_agree_to_one_in_a_hundred_thousand_in_float64():
    from diffusers.models.attention import BasicTransformerBlock

    ours = random_block().double()
    theirs = BasicTransformerBlock(32, 4, 8, 0.0, 24, "gelu", attention_bias=True, ff_inner_dim=64).double()
    pairs = [("norms.0", "norm1"), ("norms.1", "norm2"), ("norms.2", "norm3")]
    for part, other in (("attention", "attn1"), ("cross", "attn2")):
        for mine, name in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("out", "to_out.0")):
            pairs.append((f"{part}.{mine}", f"{other}.{name}"))
    pairs += [("feed_forward.up", "ff.net.0.proj"), ("feed_forward.down", "ff.net.2")]
    for mine, other in pairs:
        theirs.get_submodule(other).load_state_dict(ours.get_submodule(mine).state_dict())
    x, text = torch.randn(2, 64, 32).double().requires_grad_(), torch.randn(2, 9, 24).double().requires_grad_()
    out, other = ours(x, text), theirs(x, encoder_hidden_states=text)
    torch.testing.assert_close(out, other, atol=1e-10, rtol=1e-10)
    out.square().sum().backward()
    first = [x.grad.clone(), text.grad.clone()]
    x.grad = text.grad = None
    other.square().sum().backward()
    torch.testing.assert_close([x.grad, text.grad], first, atol=1e-5, rtol=1e-5)
    for mine, name in pairs:
        for p, q in zip(ours.get_submodule(mine).parameters(), theirs.get_submodule(name).parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, atol=1e-5, rtol=1e-5)


def tiny_parts():
    """Random parts of Stable Diffusion's classes; nothing is loaded."""
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, scaling_factor=0.18215,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=24, layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2,
    )  # fmt: skip
    text = CLIPTextConfig(vocab_size=60, hidden_size=24, intermediate_size=48, num_hidden_layers=1,
                          num_attention_heads=2, max_position_embeddings=77)  # fmt: skip
    return vae, unet, CLIPTextModel(text)


def tiny_tokenizer(folder):
    import transformers

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({e: i for i, e in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))


def test_what_is_in_a_folder_of_stable_diffusion(tmp_path):
    (tmp_path / "words").mkdir()
    (vae, unet, text_encoder), tokenizer = tiny_parts(), tiny_tokenizer(tmp_path / "words")
    # [at-work]
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
    )
    pipe = StableDiffusionPipeline(
        vae,
        text_encoder,
        tokenizer,
        unet,
        scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path / "stable-diffusion"
    pipe.save_pretrained(folder)
    parts = {p.name for p in folder.iterdir()}
    assert parts == {
        "model_index.json",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "unet",
        "vae",
    }
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    config = json.loads((folder / "vae" / "config.json").read_text())
    assert config["scaling_factor"] == 0.18215
    steps = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    assert steps["beta_schedule"] == "scaled_linear"
    assert steps["prediction_type"] == "epsilon"
    ours = diffusion.scaled_linear_schedule().float()
    torch.testing.assert_close(scheduler.alphas_cumprod, ours, atol=1e-6, rtol=1e-5)
    # [/at-work]
    again = StableDiffusionPipeline.from_pretrained(folder)
    for one, other in ((pipe.unet, again.unet), (pipe.vae, again.vae)):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(p, q)


@torch.no_grad()
def test_the_kl_and_the_scale_are_those_of_autoencoder_kl():
    vae, _, _ = tiny_parts()
    # [kl]
    x = torch.randn(2, 3, 32, 32)
    gaussian = vae.encode(x).latent_dist
    mu, logvar = gaussian.mean, gaussian.logvar
    torch.testing.assert_close(gaussian.kl(), gaussian_kl(mu, logvar))

    draw = gaussian.sample(torch.Generator().manual_seed(0))
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draw, reparameterize(mu, logvar, eps))

    latents = draw * vae.config.scaling_factor  # what the U-Net sees
    copy = vae.decode(latents / vae.config.scaling_factor).sample
    torch.testing.assert_close(copy, vae.decode(draw).sample, atol=1e-5, rtol=1e-4)
    # [/kl]


def test_zero_terminal_snr_is_theirs():
    from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

    alpha_bar = diffusion.scaled_linear_schedule()
    theirs = (1 - rescale_zero_terminal_snr(diffusion.betas(alpha_bar).clone())).cumprod(0)
    ours = diffusion.zero_terminal_snr(alpha_bar)
    assert theirs[-1] == 0 and ours[-1] < 1e-11
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@torch.no_grad()
def test_our_text_tower_conditions_their_unet():
    """A sequence of our clip's width goes into a U-Net of theirs as encoder_hidden_states."""
    _, unet, _ = tiny_parts()
    z, text = torch.randn(2, 4, 8, 8), torch.randn(2, 9, 24)
    out = unet(z, torch.tensor([5, 500]), encoder_hidden_states=text).sample
    assert out.shape == z.shape
    assert not torch.allclose(out, unet(z, torch.tensor([5, 500]), encoder_hidden_states=text.flip(1) + 1).sample)
