"""DCGAN as published: sizes, initial weights, who sees whom in a batch; it can fit one batch of fakes and data."""

import pytest
import torch

from aigc_lib import losses
from aigc_lib.models.dcgan import DCGANDiscriminator, DCGANGenerator


def test_sizes_and_gradients():
    G, D = DCGANGenerator(latent_dim=10, width=4), DCGANDiscriminator(width=4)
    x = G(torch.randn(3, 10))
    assert x.shape == (3, 1, 28, 28) and x.abs().max() <= 1
    logits = D(x)
    assert logits.shape == (3,)
    logits.square().sum().backward()
    for parameter in [*G.parameters(), *D.parameters()]:
        assert parameter.grad.isfinite().all() and parameter.grad.any()


def test_initial_weights_are_those_of_the_paper():
    torch.manual_seed(0)
    G = DCGANGenerator()
    for layer in G.body:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            assert abs(layer.weight.std() - 0.02) < 0.002
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert abs(layer.weight.mean() - 1) < 0.02 and 0 < layer.weight.std() < 0.04


@pytest.mark.parametrize("batch_norm", [True, False])
def test_batch_norm_ties_the_logits_of_a_batch_together(batch_norm):
    torch.manual_seed(0)
    D = DCGANDiscriminator(width=4, batch_norm=batch_norm)
    x = torch.randn(4, 1, 28, 28)
    other = torch.cat([x[:1], torch.randn(3, 1, 28, 28)])
    assert torch.allclose(D(x)[0], D(other)[0]) == (not batch_norm)


def test_the_discriminator_overfits_one_batch():
    torch.manual_seed(0)
    D = DCGANDiscriminator(width=8)
    real, fake = torch.rand(2, 8, 1, 28, 28) * 2 - 1
    optimizer = torch.optim.Adam(D.parameters(), lr=2e-3)
    for _ in range(60):
        loss = losses.discriminator_loss(D(real), D(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize("net, shape", [(DCGANGenerator(), (2, 64)), (DCGANDiscriminator(), (2, 1, 32, 32))])
def test_a_wrong_shape_is_named(net, shape):
    with pytest.raises(ValueError, match=str(shape[-1])):
        net(torch.zeros(shape))
