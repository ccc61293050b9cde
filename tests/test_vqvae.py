"""Models with discrete codes: shapes, gradients, one batch overfitted, and the laws of quantisation."""

import math

import pytest
import torch
import torch.nn.functional as F

from aigc_lib import data, evaluate, losses
from aigc_lib.models.dvae import DVAE, gumbel, gumbel_softmax
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.models.vqvae import (
    FSQ,
    VQVAE,
    AveragedCodebook,
    Codebook,
    decoder,
    encoder,
    expect_tokens,
    nearest,
    straight_through,
)
from aigc_lib.sample.codes import code_rows, draw_codes
from aigc_lib.training.codes import encoded, measured_codes
from aigc_lib.training.splits import Splits


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=16):
    return data.mnist("test")[0][:n]


def tiny(codebook, width=4, colours=1):
    torch.manual_seed(0)
    parts = (make(width, 8, colours=colours) for make in (encoder, decoder))
    first, last = parts
    return VQVAE(first, codebook, last)


def books():
    torch.manual_seed(0)
    return [Codebook(16, 4), AveragedCodebook(16, 4), FSQ((2, 2, 2, 2))]


@pytest.mark.parametrize("book", books(), ids=lambda b: type(b).__name__)
def test_shapes_and_finite_gradients_for_every_parameter(book):
    vae, x = tiny(book), batch()
    logits, z, tokens = vae(x)
    assert logits.shape == x.shape and z.shape == (16, 4, 7, 7)
    assert tokens.shape == (16, 7, 7) and tokens.dtype == torch.int64
    e = book.lookup(tokens)
    assert e.shape == z.shape
    losses.vqvae_loss(logits, x, z, e)["loss"].backward()
    for name, p in vae.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name
    assert not list(book.parameters()) or type(book) is Codebook


@pytest.mark.parametrize("book", books(), ids=lambda b: type(b).__name__)
def test_tokens_are_all_that_the_decoder_needs(book):
    vae, x = tiny(book), batch()
    logits, _, tokens = vae(x)
    assert torch.equal(vae.encode(x), tokens)
    torch.testing.assert_close(vae.logits(tokens), logits)
    images = vae.decode(tokens)
    assert images.min() >= -1 and images.max() <= 1 and not images.requires_grad


def test_colour_images_of_another_size():
    vae = tiny(AveragedCodebook(16, 4), colours=3)
    tokens = vae.encode(torch.zeros(2, 3, 32, 40))
    assert tokens.shape == (2, 8, 10) and vae.decode(tokens).shape == (2, 3, 32, 40)


@pytest.mark.parametrize("kind", ["gradient", "averages", "fsq", "dvae"])
def test_overfits_one_batch(kind):
    torch.manual_seed(0)
    x, draws = batch(8), rng()
    if kind == "dvae":
        model = DVAE(encoder(32, 24), Codebook(32, 4), decoder(4, 24))
    else:
        book, width = {"gradient": (Codebook(32, 4), 4), "averages": (AveragedCodebook(32, 4), 4), "fsq": (FSQ(), 3)}[
            kind
        ]
        model = VQVAE(encoder(width, 24), book, decoder(width, 24))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    trace = []
    for _ in range(150):
        if kind == "dvae":
            logits, codes, _ = model(x, gumbel(torch.rand(8, 32, 7, 7, generator=draws)), 0.5)
            parts = losses.dvae_loss(logits, x, codes, beta=0.0)
        else:
            logits, z, tokens = model(x)
            parts = losses.vqvae_loss(logits, x, z, book.lookup(tokens) if kind != "fsq" else z.detach())
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        if kind == "averages":
            book.learn(z, tokens, torch.rand(tokens.shape, generator=draws))
        trace.append(losses.bernoulli_nll(model.logits(model.encode(x)), x).mean().item())
    floor = losses.bernoulli_nll(torch.logit((x + 1) / 2, eps=1e-6), x).mean().item()
    assert trace[-1] < floor + 0.15 * (trace[0] - floor), (floor, trace[::30])


def test_quantisation_is_an_exhaustive_nearest_search():
    z, vectors = torch.randn(200, 5, generator=rng()), torch.randn(33, 5, generator=rng(1))
    found = nearest(z, vectors)
    for row, token in zip(z, found, strict=True):
        distances = [(row - vector).square().sum().item() for vector in vectors]
        assert distances[token] <= min(distances) + 1e-5
    assert torch.equal(nearest(vectors, vectors), torch.arange(33))  # a code's own code is itself


def test_of_equally_near_codes_the_first_is_taken():
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert nearest(torch.tensor([[0.0, 3.0], [2.0, 0.0]]), vectors).tolist() == [0, 0]


def test_the_straight_through_gradient_is_the_identity():
    z = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    book = Codebook(8, 4).double()
    zq, tokens = book(z)
    torch.testing.assert_close(zq, book.lookup(tokens), atol=1e-6, rtol=0)
    upstream = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    gradient, of_codes = torch.autograd.grad(zq, (z, book.vectors), upstream, allow_unused=True)
    assert torch.equal(gradient, upstream) and of_codes is None
    a, b = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    through = straight_through(a, b)
    torch.testing.assert_close(through, b)
    assert torch.equal(torch.autograd.grad(through.sum(), a)[0], torch.ones(2, 3))


def test_each_loss_moves_its_own_side_only():
    z, e = (torch.randn(3, 4, 2, 2, requires_grad=True) for _ in range(2))
    for loss, moved, still in ((losses.codebook_loss, e, z), (losses.commitment_loss, z, e)):
        value = loss(z, e)
        torch.testing.assert_close(value, (z - e).square().sum((1, 2, 3)))
        gradients = torch.autograd.grad(value.sum(), (moved, still), allow_unused=True)
        torch.testing.assert_close(gradients[0], 2 * (moved - still))
        assert gradients[1] is None
    logits, x = torch.randn(3, 1, 8, 8), torch.rand(3, 1, 8, 8) * 2 - 1
    parts = losses.vqvae_loss(logits, x, z, e, beta=0.5)
    torch.testing.assert_close(parts["loss"], parts["nll"] + 1.5 * parts["codebook"])
    with pytest.raises(ValueError, match=r"z has shape \(3, 4, 2, 2\), e has \(3, 4, 1, 1\)"):
        losses.commitment_loss(z, e[..., :1, :1])


def test_the_codebook_loss_is_least_at_the_mean_of_what_chose_a_code():
    rows = torch.randn(50, 3, dtype=torch.float64)
    tokens = nearest(rows, torch.randn(6, 3, dtype=torch.float64))
    e = torch.zeros(6, 3, dtype=torch.float64)
    for code in tokens.unique():
        e[code] = rows[tokens == code].mean(0)
    e.requires_grad_()
    losses.codebook_loss(rows[..., None, None], e[tokens][..., None, None]).sum().backward()
    torch.testing.assert_close(e.grad, torch.zeros_like(e), atol=1e-12, rtol=0)


def test_averages_without_forgetting_are_means_and_with_it_the_papers():
    book = AveragedCodebook(3, 2, decay=0.9, alive=0.0)
    first = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = first.T.reshape(1, 2, 1, 3)
    book.learn(z, torch.zeros(1, 1, 3, dtype=torch.long), torch.tensor([[[0.9, 0.5, 0.1]]]))
    torch.testing.assert_close(book.vectors, first)  # the lots are in order
    count, total = book.count.clone(), book.total.clone()
    z = torch.tensor([[1.0, 3.0, 8.0], [1.0, 1.0, 0.0]]).view(1, 2, 1, 3)
    book.learn(z, torch.tensor([[[0, 0, 1]]]), torch.rand(1, 1, 3))
    sums = torch.tensor([[4.0, 2.0], [8.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(book.count, 0.9 * count + 0.1 * torch.tensor([2.0, 1.0, 0.0]))
    torch.testing.assert_close(book.total, 0.9 * total + 0.1 * sums)
    torch.testing.assert_close(book.vectors, book.total / book.count[:, None])


def test_dead_codes_move_to_vectors_of_the_batch_and_living_ones_stay():
    book = AveragedCodebook(4, 2, decay=0.5, alive=0.3)
    draws = rng()
    z = torch.randn(2, 2, 3, 3, generator=draws) * 0.1
    book.learn(z, torch.zeros(2, 3, 3, dtype=torch.long), torch.rand(2, 3, 3, generator=draws))
    rows = z.permute(0, 2, 3, 1).reshape(-1, 2)
    assert all(any(torch.equal(v, row) for row in rows) for v in book.vectors)  # the start
    far, moved = z + 5.0, 0
    for _ in range(4):  # all vectors choose code 0
        moved += book.learn(far, torch.zeros(2, 3, 3, dtype=torch.long), torch.rand(2, 3, 3, generator=draws))
    assert moved >= 3 and book.count.min() > 0
    assert (book.vectors[1:] - 5).abs().max() < 1  # where the data are now
    still = AveragedCodebook(4, 2, decay=0.5, alive=0.0)
    still.learn(z, torch.zeros(2, 3, 3, dtype=torch.long), torch.rand(2, 3, 3, generator=draws))
    before = still.vectors.clone()
    for _ in range(4):
        assert still.learn(far, torch.zeros(2, 3, 3, dtype=torch.long), torch.rand(2, 3, 3)) == 0
    torch.testing.assert_close(still.vectors[1:], before[1:])


def test_a_batch_smaller_than_the_codebook_moves_as_many_codes_as_it_can():
    book = AveragedCodebook(16, 2)
    moved = book.learn(torch.randn(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), torch.rand(1, 2, 2))
    assert moved == 4 and torch.isfinite(book.vectors).all()


def test_fsq_has_all_combinations_and_its_tokens_count_them():
    fsq = FSQ((3, 4, 5))
    every = torch.arange(60).view(1, 6, 10)
    vectors = fsq.lookup(every)
    assert len({tuple(v) for v in vectors.permute(0, 2, 3, 1).reshape(-1, 3).tolist()}) == 60
    assert vectors.min() == -1 and vectors.max() == 1
    inside = torch.atanh(vectors.clamp(-0.9999, 0.9999))
    zq, tokens = fsq(inside)
    assert torch.equal(tokens, every)
    torch.testing.assert_close(zq, vectors)
    z = torch.zeros(1, 3, 1, 1, requires_grad=True)
    (slope,) = torch.autograd.grad(fsq(z)[0].sum(), z)
    torch.testing.assert_close(slope, torch.ones_like(slope))  # that of tanh at 0


def test_gumbel_noise_draws_from_the_softmax():
    logits = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1).expand(1, 3, 200, 200)
    noise = gumbel(torch.rand(1, 3, 200, 200, generator=rng()))
    assert torch.isfinite(gumbel(torch.tensor([0.0, 1.0 - 2**-24]))).all()
    hard = gumbel_softmax(logits, noise, 0.01).argmax(1)
    shares = torch.bincount(hard.flatten()) / hard.numel()
    torch.testing.assert_close(shares, torch.tensor([0.0, 1.0, 2.0]).softmax(0), atol=0.01, rtol=0)
    soft = gumbel_softmax(logits, noise, 5.0)
    torch.testing.assert_close(soft.sum(1), torch.ones(1, 200, 200))
    with pytest.raises(ValueError, match="temperature 0"):
        gumbel_softmax(logits, noise, 0)


def test_the_dvae_has_gradients_everywhere_and_one_hot_weights_give_the_codebook():
    torch.manual_seed(0)
    model, x = DVAE(encoder(16, 8), Codebook(16, 4), decoder(4, 8)), batch()
    noise = gumbel(torch.rand(16, 16, 7, 7, generator=rng()))
    logits, codes, tokens = model(x, noise, 1.0)
    assert codes.shape == (16, 16, 7, 7) and torch.equal(model.encode(x), tokens)
    losses.dvae_loss(logits, x, codes)["loss"].backward()
    for name, p in model.named_parameters():
        assert torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name
    hard, _, tokens = model(x, torch.zeros(1), 1e-9)
    torch.testing.assert_close(hard, model.logits(tokens), atol=1e-3, rtol=1e-3)


def test_uniform_kl_is_torch_distributions():
    from torch.distributions import Categorical, kl_divergence

    codes = 3 * torch.randn(5, 7, 2, 3, dtype=torch.float64)
    q = Categorical(logits=codes.permute(0, 2, 3, 1))
    p = Categorical(logits=torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(losses.uniform_kl(codes), kl_divergence(q, p).sum((1, 2)))


def test_rows_bits_and_draws_of_a_prior():
    torch.manual_seed(0)
    prior = FastGPT(9, context=6, layers=1, heads=2, width=16)  # 8 codes and a start token
    tokens = torch.randint(8, (5, 2, 3), generator=rng())
    rows = code_rows(tokens, 8)
    assert rows.shape == (5, 7) and (rows[:, 0] == 8).all() and torch.equal(rows[:, 1:].view(5, 2, 3), tokens)
    assert evaluate.code_bits(prior, rows, 2) == pytest.approx(6 * math.log2(9), rel=1e-5)  # untrained: uniform
    drawn = draw_codes(prior, rows[:, :1], (2, 3), rng())
    assert drawn.shape == (5, 2, 3) and drawn.max() < 8  # never the start token
    completed = draw_codes(prior, rows[:, :4], (2, 3), rng())
    assert torch.equal(completed[:, 0], tokens[:, 0])
    assert torch.equal(draw_codes(prior, rows, (2, 3), rng()), tokens)  # nothing is left to draw


def test_use_of_the_codes():
    assert evaluate.code_use(torch.tensor([[0, 1], [2, 3]]), 4) == {"used": 4, "perplexity": pytest.approx(4.0)}
    assert evaluate.code_use(torch.zeros(3, 2, 2, dtype=torch.long), 9) == {"used": 1, "perplexity": pytest.approx(1.0)}
    with pytest.raises(ValueError, match="token 7: expected 0 to 3"):
        evaluate.code_use(torch.tensor([7]), 4)


def test_what_a_recipe_measures():
    vae, images = tiny(AveragedCodebook(16, 4)), batch(40)
    found = measured_codes(vae, Splits((images,), (images,), "none"))
    tokens = encoded(vae, images, batch_size=7)
    torch.testing.assert_close(tokens, vae.encode(images))
    assert found["codes_used"] == len(tokens.unique())
    assert found["test_psnr"] == pytest.approx(evaluate.psnr(vae.decode(tokens), images), rel=1e-4)
    nll = F.binary_cross_entropy_with_logits(vae.logits(tokens), (images + 1) / 2, reduction="sum") / 40
    assert found["test_nll"] == pytest.approx(nll.item(), rel=1e-4)


def test_wrong_inputs_are_named():
    vae = tiny(AveragedCodebook(16, 4))
    for shape in [(2, 3, 28, 28), (2, 1, 30, 28), (1, 28, 28)]:
        with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\), H and W multiples of 4"):
            vae.encode(torch.zeros(shape))
    with pytest.raises(ValueError, match="tokens from 0 to 16: expected 0 to 15, the codes of this codebook"):
        vae.decode(torch.tensor([[[0, 16]]]))
    with pytest.raises(ValueError, match=r"tokens of shape \(1, 2\)"):
        vae.decode(torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="float32"):
        expect_tokens(torch.zeros(1, 2, 2), 4)
