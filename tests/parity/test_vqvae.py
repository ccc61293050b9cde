"""Discrete codes against production libraries: the same tokens, losses, gradients and draws."""

import pytest
import torch

from aigc_lib import losses, recipes
from aigc_lib.models.dvae import gumbel, gumbel_softmax
from aigc_lib.models.vqvae import AveragedCodebook, Codebook, straight_through


def test_our_codebook_inside_diffusers_gives_the_same_tokens_losses_and_gradients():
    pytest.importorskip("diffusers.models.autoencoders.vae")
    # [at-work]
    from diffusers.models.autoencoders.vae import VectorQuantizer

    from aigc_lib import data

    ours = recipes.load("vqvae_mnist")
    theirs = VectorQuantizer(128, 4, beta=0.25, legacy=False, sane_index_shape=True)
    theirs.embedding.weight.data.copy_(ours.codebook.vectors)
    with torch.no_grad():
        z = ours.encoder(data.mnist("test")[0][:8])  # (8, 4, 7, 7)

    zq, their_loss, (_, _, their_tokens) = theirs(z)
    our_zq, our_tokens = ours.codebook(z)
    assert torch.equal(our_tokens, their_tokens)
    torch.testing.assert_close(our_zq, zq)
    e = ours.codebook.lookup(our_tokens)
    codebook, commitment = losses.codebook_loss(z, e), losses.commitment_loss(z, e)
    our_loss = (codebook + 0.25 * commitment).sum() / z.numel()  # they take means
    torch.testing.assert_close(our_loss, their_loss)
    # [/at-work]


def both(legacy):
    from diffusers.models.autoencoders.vae import VectorQuantizer

    torch.manual_seed(0)
    theirs, ours = VectorQuantizer(32, 5, beta=0.25, legacy=legacy), Codebook(32, 5)
    theirs.embedding.weight.data.copy_(ours.vectors.data)
    z = torch.randn(3, 5, 4, 4, requires_grad=True)
    zq, loss, _ = theirs(z)
    upstream = torch.randn_like(zq)
    their_gradients = torch.autograd.grad((zq * upstream).sum() + loss, (z, theirs.embedding.weight))
    our_zq, tokens = ours(z)
    e = ours.lookup(tokens)
    parts = losses.codebook_loss(z, e).sum(), losses.commitment_loss(z, e).sum()
    weights = (0.25, 1.0) if legacy else (1.0, 0.25)
    loss = sum(w * part for w, part in zip(weights, parts, strict=True)) / z.numel()
    return their_gradients, torch.autograd.grad((our_zq * upstream).sum() + loss, (z, ours.vectors))


@pytest.mark.parametrize("legacy", [False, True])
def test_gradients_are_those_of_diffusers_whose_default_weighs_the_other_term(legacy):
    pytest.importorskip("diffusers.models.autoencoders.vae")
    for theirs, ours in zip(*both(legacy), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gumbel_softmax_is_torchs():
    logits = torch.randn(4, 9, 3, 3)
    torch.manual_seed(5)
    theirs = torch.nn.functional.gumbel_softmax(logits, tau=0.7, dim=1)
    torch.manual_seed(5)
    noise = -torch.empty_like(logits, memory_format=torch.legacy_contiguous_format).exponential_().log()
    torch.testing.assert_close(gumbel_softmax(logits, noise, 0.7), theirs)
    hard = torch.nn.functional.one_hot(theirs.argmax(1), 9).permute(0, 3, 1, 2).float()
    torch.manual_seed(5)
    torch.testing.assert_close(
        torch.nn.functional.gumbel_softmax(logits, tau=0.7, hard=True, dim=1), straight_through(theirs, hard)
    )


def test_gumbel_noise_is_torch_distributions():
    u = torch.rand(1000, dtype=torch.float64)
    theirs = torch.distributions.Gumbel(torch.tensor(0.0, dtype=torch.float64), 1.0)
    torch.testing.assert_close(theirs.cdf(gumbel(u)), u, atol=1e-6, rtol=0)


@torch.no_grad()
def test_residual_quantisation_is_that_of_encodec():
    pytest.importorskip("transformers")
    from transformers import EncodecConfig
    from transformers.models.encodec.modeling_encodec import EncodecResidualVectorQuantizer

    torch.manual_seed(0)
    config = EncodecConfig(codebook_size=16, codebook_dim=4, target_bandwidths=[1.5])
    theirs = EncodecResidualVectorQuantizer(config)
    books = [AveragedCodebook(16, 4) for _ in theirs.layers]
    for layer, book in zip(theirs.layers, books, strict=True):
        layer.codebook.embed.copy_(book.vectors)
    z = 3 * torch.randn(2, 4, 20)  # (B, D, time)
    codes = theirs.encode(z)
    rest, found = z[..., None], []
    for book in books:
        found.append(book.nearest(rest))
        rest = rest - book.lookup(found[-1])
    assert torch.equal(torch.stack(found)[..., 0], codes)
    torch.testing.assert_close(theirs.decode(codes), (z[..., None] - rest)[..., 0], atol=1e-5, rtol=1e-5)
