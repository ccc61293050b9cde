"""Losses and towers of CLIP in the library transformers: the same weights, the same numbers; all of it offline."""

import json
import re
from pathlib import Path

import jupytext
import pytest
import torch
import torch.nn.functional as F

from aigc_lib import losses
from aigc_lib.data import shapes
from aigc_lib.models.clip import CLIP, small_clip

transformers = pytest.importorskip("transformers")
CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "clip.md"


def small(act="gelu", eos=49, **vision):
    """A CLIPModel with random weights, biases and norms included."""
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2}
    text = sizes | {"vocab_size": 50, "max_position_embeddings": 12, "hidden_act": act}
    text |= {"bos_token_id": 48, "eos_token_id": eos, "pad_token_id": 0}
    image = sizes | {"image_size": 32, "patch_size": 8, "hidden_act": act} | vision
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=24)
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(config).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return theirs


def inputs():
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, 32, 32, generator=rng)
    tokens = torch.randint(1, 48, (3, 12), generator=rng)
    tokens[:, 0] = 48
    for row, end in enumerate((11, 5, 8)):
        tokens[row, end] = 49
        tokens[row, end + 1 :] = 0
    return images, tokens


@pytest.mark.parametrize("act", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("eos", [49, 2])  # 2: what stands in the files of 2021
@torch.no_grad()
def test_our_towers_with_their_weights_give_their_vectors(act, eos):
    theirs, (images, tokens) = small(act, eos), inputs()
    ours = CLIP.from_transformers(theirs)
    out = theirs(input_ids=tokens, pixel_values=images)
    u, v, scale = ours(images, tokens)
    torch.testing.assert_close(u, out.image_embeds, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(v, out.text_embeds, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scale, theirs.logit_scale.exp().clamp(max=100))
    sequence = ours.text(tokens)
    torch.testing.assert_close(sequence, out.text_model_output.last_hidden_state, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_our_weights_in_their_model_give_our_vectors():
    # [at-work]
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    ours = small_clip(" ".join(shapes.words()), 7)
    both = {"hidden_size": 64, "intermediate_size": 256, "hidden_act": "gelu"}
    both |= {"num_hidden_layers": 2, "num_attention_heads": 4}
    image = both | {"image_size": 32, "patch_size": 8}
    words = ours.words
    text = both | {"vocab_size": len(words), "max_position_embeddings": 9}
    text |= {"bos_token_id": words.start, "eos_token_id": words.end, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config=image, projection_dim=64)
    theirs = ours.to_transformers(CLIPModel(config))

    pictures, labels = shapes.shapes(8, generator=torch.Generator().manual_seed(0))
    tokens = ours.tokens(shapes.captions(labels))
    out = theirs(input_ids=tokens, pixel_values=pictures)
    u, v, scale = ours(pictures, tokens)
    torch.testing.assert_close(out.image_embeds, u, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out.text_embeds, v, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out.logits_per_image, scale * u @ v.T, atol=1e-5, rtol=1e-5)
    # [/at-work]


@torch.no_grad()
def test_the_losses_are_theirs():
    # [losses]
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    u, v = F.normalize(torch.randn(2, 16, 24), dim=2)
    ours = losses.contrastive_loss(u, v, 1 / 0.07)["loss"]
    theirs = image_text_contrastive_loss((u @ v.T / 0.07).T)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    # [/losses]


@torch.no_grad()
def test_the_sigmoid_loss_is_theirs():
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1}
    text = sizes | {"vocab_size": 50, "max_position_embeddings": 12, "projection_size": 32}
    config = transformers.SiglipConfig(text_config=text, vision_config=sizes | {"image_size": 32, "patch_size": 8})
    torch.manual_seed(0)
    theirs = transformers.SiglipModel(config).eval()
    theirs.logit_scale.fill_(1.3)
    theirs.logit_bias.fill_(-2.0)
    images, tokens = inputs()
    out = theirs(input_ids=tokens, pixel_values=images, return_loss=True)
    scale, bias = theirs.logit_scale.exp(), theirs.logit_bias
    ours = losses.siglip_loss(out.image_embeds, out.text_embeds, scale, bias)["loss"]
    torch.testing.assert_close(ours, out.loss, atol=1e-6, rtol=1e-6)


def test_another_architecture_is_refused():
    with pytest.raises(ValueError, match="one activation"):
        CLIP.from_transformers(small(intermediate_size=64))


def saved(folder):
    """A tiny model with the tokenizer of the real one's kind, as files: nothing is downloaded."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({e: i for i, e in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 1}
    text = sizes | {"vocab_size": 54, "max_position_embeddings": 77, "bos_token_id": 52, "eos_token_id": 53}
    image = sizes | {"image_size": 64, "patch_size": 16}
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder)
    return str(folder)


def test_the_chapters_cell_for_the_real_clip_works_on_a_saved_model(tmp_path, monkeypatch, capsys):
    cells = [c.source for c in jupytext.read(CHAPTER).cells if c.cell_type == "code"]
    (cell,) = [source for source in cells if "from_pretrained" in source]
    scope = {"torch": torch, "F": F, "CLIP": CLIP, "pictures": shapes.draw_shapes(shapes.combinations()[1][:5])}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    exec(cell, scope)  # as it stands, it loads nothing
    assert "openai/clip-vit-base-patch32" in capsys.readouterr().out
    exec(re.sub(r'^name = ".*?"', f"name = {saved(tmp_path)!r}", cell, count=1, flags=re.M), scope)
    found = scope["real_similarities"]
    assert found.shape[0] == 5 and found.abs().max() <= 1.001
