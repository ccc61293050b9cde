"""Each check accepts right answers in all forms, leaves a stub open, and catches seeded wrong ones with a hint."""

import re

import answers_attention
import answers_clip
import answers_dalle
import answers_data
import answers_diffusion
import answers_gan
import answers_gan_family
import answers_gpt
import answers_guidance
import answers_latent_diffusion
import answers_samplers
import answers_tokenizers
import answers_transformer
import answers_vae
import answers_vqvae
import answers_warmup
import pytest
import torch

CHAPTERS = [
    answers_warmup,
    answers_data,
    answers_gan,
    answers_gan_family,
    answers_vae,
    answers_attention,
    answers_transformer,
    answers_tokenizers,
    answers_gpt,
    answers_diffusion,
    answers_samplers,
    answers_guidance,
    answers_clip,
    answers_vqvae,
    answers_latent_diffusion,
    answers_dalle,
]
EXERCISES = [pytest.param(c, name, id=f"{c.__name__}-{name}") for c in CHAPTERS for name in c.RIGHT]


def verdicts(chapter, name, answer, runs=5):
    for seed in range(runs):
        torch.manual_seed(seed)
        yield getattr(chapter.check, name)(answer)


@pytest.mark.parametrize("chapter, name", EXERCISES)
def test_the_stub_is_not_accepted(chapter, name):
    assert getattr(chapter.check, name)(lambda *args: None).status == "not attempted"


@pytest.mark.parametrize("chapter, name", EXERCISES)
def test_right_answers_pass(chapter, name):
    for answer in chapter.RIGHT[name]:
        for verdict in verdicts(chapter, name, answer):
            assert verdict.status == "right", verdict


@pytest.mark.parametrize("chapter, name", EXERCISES)
def test_seeded_wrong_answers_are_caught_with_a_hint(chapter, name):
    assert len(chapter.WRONG[name]) >= 3
    for answer, hint in chapter.WRONG[name]:
        for verdict in verdicts(chapter, name, answer):
            assert verdict.status == "wrong" and re.search(hint, verdict.message), (hint, verdict)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.__name__)
def test_right_and_wrong_answers_belong_to_the_same_exercises(chapter):
    assert chapter.RIGHT.keys() == chapter.WRONG.keys()
