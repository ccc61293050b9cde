"""DALL-E's guidance, loss and decoding against transformers: one GPT, the same numbers and the same tokens."""

import pytest
import torch

from aigc_lib import evaluate, losses
from aigc_lib.data import Words, shapes
from aigc_lib.models.dalle import DALLE
from aigc_lib.models.gpt import GPT
from aigc_lib.sample import generate, text
from aigc_lib.sample.pictures import Guided

transformers = pytest.importorskip("transformers")


def small_gpt2(vocabulary, context):
    torch.manual_seed(0)
    sizes = {"n_embd": 48, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    config = transformers.GPT2Config(vocab_size=vocabulary, n_positions=context, **sizes)
    return transformers.GPT2LMHeadModel(config).eval()


def test_a_guided_gpt_writes_the_tokens_that_transformers_writes():
    # [at-work]
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    words = Words(shapes.words(), 7)
    size = len(words) + 128  # words and codes
    config = GPT2Config(vocab_size=size, n_positions=72, n_embd=48, n_layer=2, n_head=4)
    config.initializer_range = 0.3  # random weights that differ more than usual
    theirs = GPT2LMHeadModel(config).eval()
    ours = GPT.from_transformers(theirs)

    captions = words.encode(["a red circle at the left", "blue ring, top"])  # (2, 9)
    blank = torch.tensor([words.start, words.end] + [0] * 7)
    guided = Guided(ours, blank, w=2.5)
    rows = generate(guided, captions, 30, warp=lambda logits, _: text.greedy(logits))
    expected = theirs.generate(
        captions,
        negative_prompt_ids=blank.expand(2, -1),
        guidance_scale=2.5,
        max_new_tokens=30,
        do_sample=False,
        attention_mask=torch.ones_like(captions),
        pad_token_id=0,
        eos_token_id=None,
    )
    assert torch.equal(rows, expected)
    # [/at-work]
    plain = generate(ours, captions, 30, warp=lambda logits, _: text.greedy(logits))
    assert not torch.equal(rows, plain)  # guidance matters here


@torch.no_grad()
def test_guided_logits_are_those_of_their_processor():
    from transformers.generation.logits_process import ClassifierFreeGuidanceLogitsProcessor

    theirs = small_gpt2(60, 20)
    ours, blank = GPT.from_transformers(theirs), torch.zeros(5, dtype=torch.int64)
    rows = torch.randint(60, (3, 12))
    without = torch.cat((blank.expand(3, -1), rows[:, 5:]), 1)
    both = theirs(torch.cat((rows, without))).logits[:, -1]
    expected = ClassifierFreeGuidanceLogitsProcessor(3.0)(rows, both)
    torch.testing.assert_close(Guided(ours, blank, 3.0).next_logits(rows), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_both_parts_of_the_loss_are_theirs():
    theirs, text_tokens = small_gpt2(60, 30), 6
    ours, rows = GPT.from_transformers(theirs), torch.randint(60, (4, 26))
    parts = losses.text_image_loss(ours(rows[:, :-1]), rows[:, 1:], text_tokens - 1)
    nats = evaluate.pair_nats(ours, rows, text_tokens)
    for i, (name, ignored) in enumerate([("text", slice(text_tokens, None)), ("image", slice(0, text_tokens))]):
        labels = rows.clone()
        labels[:, ignored] = -100  # these do not count
        expected = theirs(rows, labels=labels).loss
        torch.testing.assert_close(parts[name], expected, atol=1e-5, rtol=1e-5)
        count = (text_tokens - 1, 20)[i]
        torch.testing.assert_close(nats[:, i].mean() / count, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_dalle_without_its_places_is_the_fast_gpt():
    """What is DALL-E's own are the vectors of the places: without them it is the GPT, with its cache."""
    from aigc_lib.models.gpt_fast import FastGPT

    torch.manual_seed(0)
    ours = DALLE(Words(shapes.words(), 7), 16, (3, 4), 2, 2, 32)
    gpt = FastGPT(len(ours.words) + 16, 20, 2, 2, 32)
    for part in (ours.place, ours.line, ours.column):
        part.weight.zero_()
    ours.head.weight.normal_()
    gpt.load_state_dict(ours.state_dict(), strict=False)
    rows = torch.randint(len(ours.words) + 16, (3, 20))
    assert torch.equal(ours(rows), gpt(rows))
