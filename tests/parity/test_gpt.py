"""GPT-2 of the library transformers, its decoding and torch's Muon: the same numbers as ours."""

import pytest
import torch

from aigc_lib.models.gpt import GPT
from aigc_lib.models.gpt_fast import ShortConvolution
from aigc_lib.sample import generate, text

transformers = pytest.importorskip("transformers")


def small_gpt2(**sizes):
    """A GPT2LMHeadModel with random weights, biases and norms included; nothing is downloaded."""
    sizes = {"vocab_size": 101, "n_positions": 40, "n_embd": 48, "n_layer": 3, "n_head": 4} | sizes
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return theirs


def test_logits_of_a_gpt2_are_theirs():
    # [at-work]
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=101, n_positions=40, n_embd=48, n_layer=3, n_head=4)
    theirs = GPT2LMHeadModel(config).eval()  # random weights: nothing is downloaded
    ours = GPT.from_transformers(theirs)

    tokens = torch.randint(101, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits)
    # [/at-work]
    theirs = small_gpt2()  # with biases and norms that are not 0 and 1
    with torch.no_grad():
        difference = GPT.from_transformers(theirs)(tokens) - theirs(tokens).logits
    assert difference.abs().max() <= 1e-4


def test_gradients_of_a_gpt2_are_theirs():
    theirs, tokens = small_gpt2(), torch.randint(101, (2, 20))
    ours = GPT.from_transformers(theirs)
    theirs(tokens).logits.square().mean().backward()
    ours(tokens).square().mean().backward()
    torch.testing.assert_close(ours.token.weight.grad, theirs.transformer.wte.weight.grad)
    qkv = ours.blocks[1].attention.qkv.weight.grad
    torch.testing.assert_close(qkv, theirs.transformer.h[1].attn.c_attn.weight.grad.T)


def test_greedy_texts_are_those_of_transformers_generate():
    theirs, prompt = small_gpt2(), torch.randint(101, (2, 5))
    ours = GPT.from_transformers(theirs)
    written = generate(ours, prompt, 30, warp=lambda logits, _: text.greedy(logits))
    expected = theirs.generate(prompt, max_new_tokens=30, do_sample=False, pad_token_id=0)
    assert torch.equal(written[:, : expected.shape[1]], expected)


def test_another_kind_of_gpt2_is_refused():
    with pytest.raises(ValueError, match="activation 'relu'"):
        GPT.from_transformers(small_gpt2(activation_function="relu"))
    with pytest.raises(ValueError, match="hidden width 50"):
        GPT.from_transformers(small_gpt2(n_inner=50))


def processors():
    from transformers.generation import logits_process as theirs

    return [
        (theirs.TemperatureLogitsWarper(0.7), lambda x, t: text.temperature(x, 0.7)),
        (theirs.TopKLogitsWarper(5), lambda x, t: text.top_k(x, 5)),
        (theirs.TopPLogitsWarper(0.8), lambda x, t: text.top_p(x, 0.8)),
        (theirs.TopPLogitsWarper(0.05), lambda x, t: text.top_p(x, 0.05)),
        (theirs.MinPLogitsWarper(0.1), lambda x, t: text.min_p(x, 0.1)),
        (theirs.RepetitionPenaltyLogitsProcessor(1.3), lambda x, t: text.repetition_penalty(x, t, 1.3)),
    ]


@pytest.mark.parametrize("theirs, ours", processors())
def test_decoding_is_that_of_transformers(theirs, ours):
    rng = torch.Generator().manual_seed(0)
    for scale in (0.3, 1.0, 8.0):
        logits = scale * torch.randn(16, 50, generator=rng)
        tokens = torch.randint(50, (16, 12), generator=rng)
        torch.testing.assert_close(ours(logits, tokens), theirs(tokens, logits.clone()))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it since 2.9")
def test_muon_is_torchs():
    from aigc_lib.training.muon import Muon

    torch.manual_seed(0)
    for shape in [(16, 16), (48, 16), (16, 64)]:
        a = torch.nn.Parameter(torch.randn(shape))
        b = torch.nn.Parameter(a.detach().clone())
        ours, theirs = Muon([a], lr=0.1), torch.optim.Muon([b], lr=0.1, weight_decay=0.0)
        for _ in range(3):
            a.grad = torch.randn(shape)
            b.grad = a.grad.clone()
            ours.step()
            theirs.step()
        torch.testing.assert_close(a, b, atol=2e-2, rtol=0)  # torch's computes in bfloat16, always


def test_a_short_convolution_is_torchs_depthwise_one():
    torch.manual_seed(0)
    ours, x = ShortConvolution(6, taps=3), torch.randn(2, 9, 6, requires_grad=True)
    torch.nn.init.normal_(ours.weight)
    theirs = torch.nn.Conv1d(6, 6, kernel_size=4, groups=6, bias=False)
    with torch.no_grad():  # theirs reads from the past to the present, whose share is 1
        theirs.weight[:, 0, :3] = ours.weight[:, 0].flip(0).T
        theirs.weight[:, 0, 3] = 1.0
    found = ours(x, None)
    expected = theirs(torch.nn.functional.pad(x.mT, (3, 0))).mT
    torch.testing.assert_close(found, expected)
    seed = torch.randn_like(found)
    grads = [torch.autograd.grad(y, x, seed)[0] for y in (found, expected)]
    torch.testing.assert_close(*grads)
