"""The GAN family's pieces against PyTorch's own, against formulas in float64, and in an exported program."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from aigc_lib import losses, recipes
from aigc_lib.models.stylegan import modulated_conv2d
from aigc_lib.nn.attention import SelfAttention2d
from aigc_lib.nn.spectral_norm import spectral_norm


def test_an_exported_generator_draws_the_same_digits(tmp_path):
    # [at-work]
    generator = recipes.load("gan")
    z = torch.randn(5, generator.latent_dim)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(generator, (z,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "digits.pt2")

    # This needs torch, not the course:
    anywhere = torch.export.load(tmp_path / "digits.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(anywhere(z), generator(z))
    # [/at-work]


def test_losses_are_their_formulas():
    real, fake = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    expected = {
        losses.discriminator_loss(real, fake): -(p.log().mean() + (1 - q).log().mean()),
        losses.generator_loss(fake): -q.log().mean(),
        losses.saturating_generator_loss(fake): (1 - q).log().mean(),
        losses.hinge_loss(real, fake): (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        losses.wasserstein_loss(real, fake): fake.mean() - real.mean(),
        losses.relativistic_loss(real, fake): -torch.sigmoid(real - fake).log().mean(),
    }
    for ours, formula in expected.items():
        torch.testing.assert_close(ours, formula)


def test_discriminator_loss_is_torchs_binary_cross_entropy():
    real, fake = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    cross_entropy = nn.BCEWithLogitsLoss()
    theirs = cross_entropy(real, torch.ones_like(real)) + cross_entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(losses.discriminator_loss(real, fake), theirs)


@pytest.mark.parametrize("shape", [(6, 3), (4, 1, 5, 5)])
def test_penalties_against_autograd_functional(shape):
    torch.manual_seed(0)
    entries = torch.Size(shape[1:]).numel()
    critic = nn.Sequential(nn.Flatten(), nn.Linear(entries, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    real, fake = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    u = torch.rand(shape[0], dtype=torch.float64)

    def slopes(x):
        each = torch.autograd.functional.jacobian(critic, x, create_graph=True)  # (B, 1, B, ...)
        return torch.stack([each[i, 0, i].flatten() for i in range(len(x))])

    weight = u.reshape(-1, *[1] * (len(shape) - 1))
    between = weight * real + (1 - weight) * fake
    ours, theirs = losses.gradient_penalty(critic, real, fake, u), (slopes(between).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(ours, theirs)
    ours_r1, theirs_r1 = losses.r1_penalty(critic, real), 0.5 * slopes(real).square().sum(1).mean()
    torch.testing.assert_close(ours_r1, theirs_r1)
    for a, b in ((ours, theirs), (ours_r1, theirs_r1)):  # and the gradients that D is trained with
        for g, h in zip(*(torch.autograd.grad(v, list(critic.parameters())[:3:2]) for v in (a, b)), strict=True):
            torch.testing.assert_close(g, h)


@pytest.mark.parametrize("make", [lambda: nn.Linear(12, 7), lambda: nn.Conv2d(3, 8, 4)])
def test_spectral_norm_is_torchs(make):
    torch.manual_seed(0)
    # [spectral-norm]
    ours, theirs = make(), make()
    theirs.load_state_dict(ours.state_dict())
    spectral_norm(ours)
    parametrizations.spectral_norm(theirs)
    for _ in range(300):  # in training mode each use makes one power iteration
        a, b = ours.weight, theirs.weight
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)

    a.square().sum().backward(), b.square().sum().backward()
    grads = (layer.parametrizations.weight.original.grad for layer in (ours, theirs))
    torch.testing.assert_close(*grads, atol=1e-4, rtol=1e-3)
    # [/spectral-norm]


def test_modulated_convolution_is_one_convolution_per_sample():
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, 7, 7, dtype=torch.float64), torch.randn(5, 4, 3, 3, dtype=torch.float64)
    style = torch.randn(3, 4, dtype=torch.float64)
    for demodulate in (True, False):
        one_by_one = []
        for image, s in zip(x, style, strict=True):
            filters = weight * s[:, None, None]
            if demodulate:
                filters = filters / (filters.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            one_by_one.append(F.conv2d(image[None], filters, padding=1))
        ours = modulated_conv2d(x, weight, style, demodulate)
        torch.testing.assert_close(ours, torch.cat(one_by_one), atol=1e-6, rtol=1e-6)


def test_self_attention_is_torchs_scaled_dot_product_attention():
    torch.manual_seed(0)
    layer, x = SelfAttention2d(16), torch.randn(2, 16, 7, 7)
    q, k, v = (conv(x).flatten(2).transpose(1, 2) for conv in (layer.query, layer.key, layer.value))
    theirs = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2).reshape(2, 8, 7, 7)
    torch.testing.assert_close(layer.attend(x)[0], layer.out(theirs))
