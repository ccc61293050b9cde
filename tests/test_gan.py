"""The GAN family: shapes, gradients, and the laws that its chapters claim."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib import data, losses, recipes
from aigc_lib.models.gan import (
    Discriminator,
    Generator,
    ProjectionDiscriminator,
    append_label,
    label_planes,
    mlp_discriminator,
    mlp_generator,
)
from aigc_lib.models.stylegan import SlowLinear, StyleGenerator, modulated_conv2d
from aigc_lib.nn.attention import SelfAttention2d
from aigc_lib.nn.spectral_norm import spectral_norm
from aigc_lib.training.adversarial import adversarial
from aigc_lib.training.splits import Splits

GENERATORS = {
    "mlp": mlp_generator,
    "dcgan": Generator,
    "sagan": lambda: Generator(extra=SelfAttention2d(64)),
    "stylegan": StyleGenerator,
}
CRITICS = {
    "mlp": mlp_discriminator,
    "dcgan": Discriminator,
    "sagan": lambda: Discriminator(norm=spectral_norm, extra=SelfAttention2d(64)),
}


def noise(generator, n, seed=0):
    return torch.randn(n, getattr(generator, "latent_dim", 100), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_make_images_and_every_parameter_gets_a_finite_gradient(name):
    torch.manual_seed(0)
    generator = GENERATORS[name]()
    images = generator(noise(generator, 8))
    assert images.shape == (8, 1, 28, 28) and images.abs().max() <= 1
    (images * torch.randn(images.shape)).sum().backward()
    for key, p in generator.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), key


@pytest.mark.parametrize("name", CRITICS)
def test_critics_tell_one_batch_from_noise(name):
    torch.manual_seed(0)
    critic = CRITICS[name]()
    real, fake = data.mnist("train")[0][:16], torch.rand(16, 1, 28, 28) * 2 - 1
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    for _ in range(30):
        loss = losses.discriminator_loss(critic(real), critic(fake))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.isfinite(p.grad).all() for p in critic.parameters())
    assert loss < 1.0 and critic(real).min() > critic(fake).max()


@pytest.mark.parametrize("name, lr", [("dcgan", 5e-3), ("stylegan", 5e-4)])
def test_generators_can_fit_four_images(name, lr):
    torch.manual_seed(0)
    generator, target = GENERATORS[name](), data.mnist("train")[0][:4]
    optimizer, z = torch.optim.Adam(generator.parameters(), lr=lr), noise(generator, 4)
    first = (generator(z) - target).square().mean().item()
    for _ in range(100):
        loss = (generator(z) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * first


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"z has shape \(2, 3\): expected \(B, 64\)"):
        Generator()(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 28, 28\): expected \(B, 1, 28, 28\)"):
        Discriminator()(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ValueError, match=r"z has shape \(2, 64\): expected \(B, 618\)"):
        StyleGenerator()(torch.zeros(2, 64))
    with pytest.raises(ValueError, match=r"style \(2, 4\)"):
        modulated_conv2d(torch.zeros(2, 3, 7, 7), torch.zeros(5, 3, 3, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="pairs of one shape"):
        losses.relativistic_loss(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"u \(2,\)"):
        losses.gradient_penalty(nn.Identity(), torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2))


def test_a_trained_discriminator_is_the_ratio_of_the_densities():
    p, q = torch.distributions.Normal(1.0, 0.6), torch.distributions.Normal(-0.5, 1.0)
    torch.manual_seed(0)
    judge = nn.Sequential(nn.Linear(1, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(judge.parameters(), lr=5e-3)
    for _ in range(500):
        loss = losses.discriminator_loss(judge(p.sample((256, 1))), judge(q.sample((256, 1))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = torch.linspace(-1.5, 2, 50)[:, None]
    best = torch.sigmoid(p.log_prob(x) - q.log_prob(x))
    assert (judge(x).sigmoid() - best).abs().mean() < 0.05


def test_the_saturating_gradient_vanishes_where_d_wins_and_the_other_does_not():
    sure = torch.tensor([-20.0], requires_grad=True)
    (saturating,) = torch.autograd.grad(losses.saturating_generator_loss(sure), sure)
    (non_saturating,) = torch.autograd.grad(losses.generator_loss(sure), sure)
    assert -1e-8 < saturating.item() < 0 and non_saturating.item() == pytest.approx(-1, abs=1e-6)


def snapshot(network):
    grads = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    return copy.deepcopy(network.state_dict()), grads


def unchanged(network, before):
    state, grads = before
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    for p, g in zip(network.parameters(), grads, strict=True):
        assert (p.grad is None) == (g is None) and (g is None or torch.equal(p.grad, g))


def chapter_functions():
    """update_D and update_G as the chapter defines them, with networks of a test's own."""
    import jupytext

    scope = {"losses": losses, "torch": torch}
    path = recipes.SHIPPED.parents[2] / "chapters" / "gan.md"
    for cell in jupytext.read(path).cells:
        if cell.source.startswith(("def update_D", "def update_G")):
            exec(cell.source, scope)
    return scope


def test_each_update_leaves_the_other_player_alone():
    torch.manual_seed(0)
    scope = chapter_functions()
    G, D = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), nn.Linear(2, 1)  # no BatchNorm: no buffers move
    optimizers = {f"optimizer_{n}": torch.optim.Adam(net.parameters()) for n, net in (("G", G), ("D", D))}
    scope.update(G=G, D=D, **optimizers)
    before = snapshot(G)
    scope["update_D"](torch.randn(8, 2), torch.randn(8, 4))
    unchanged(G, before)
    before = copy.deepcopy(D.state_dict())
    scope["update_G"](torch.randn(8, 4))
    assert all(torch.equal(v, before[k]) for k, v in D.state_dict().items())
    assert any(not torch.equal(p.grad, torch.zeros_like(p.grad)) for p in G.parameters())
    # The gradients that update_G leaves in D are gone before D uses any: its next step equals that of a fresh copy.
    twin = copy.deepcopy(D)
    x, z = torch.randn(8, 2), torch.randn(8, 4)
    scope["update_D"](x, z)
    loss = losses.discriminator_loss(twin(x), twin(G(z).detach()))
    loss.backward()
    for p, q in zip(D.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_a_fake_receives_two_d_minus_one_without_detach():
    logit = torch.linspace(-4, 4, 9, dtype=torch.float64, requires_grad=True)
    total = sum(losses.discriminator_loss(torch.zeros(1), x[None]) + losses.generator_loss(x[None]) for x in logit)
    (slope,) = torch.autograd.grad(total, logit)
    torch.testing.assert_close(slope, 2 * logit.detach().sigmoid() - 1)


def test_spectrally_normalised_network_is_lipschitz():
    torch.manual_seed(0)
    net = nn.Sequential(*(spectral_norm(nn.Linear(24, 24)) for _ in range(3)))
    net(torch.randn(2, 24))
    for _ in range(100):
        net(torch.randn(2, 24))
    net.eval()
    a, b = torch.randn(500, 24), torch.randn(500, 24)
    assert ((net(a) - net(b)).norm(dim=1) / (a - b).norm(dim=1)).max() <= 1.001


def test_untrained_attention_changes_nothing_and_its_weights_are_probabilities():
    layer, x = SelfAttention2d(16), torch.randn(3, 16, 7, 7)
    assert torch.equal(layer(x), x)
    gathered, weights = layer.attend(x)
    assert gathered.shape == x.shape and weights.shape == (3, 49, 49)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 49))


def test_projection_ignores_labels_at_first_and_learns_them():
    torch.manual_seed(0)
    critic, x = ProjectionDiscriminator(), data.mnist("train")[0][:6]
    y = torch.arange(6)
    torch.testing.assert_close(critic(x, y), critic(x, y.flip(0)))
    with torch.no_grad():
        critic.embed.weight[3] = 1.0
        h = critic.features(x)
        torch.testing.assert_close(critic(x, torch.full((6,), 3)), critic.head(h)[:, 0] + h.sum(1))


def test_labels_are_appended_to_noise_and_images():
    z, y = torch.randn(3, 4), torch.tensor([2, 0, 9])
    assert torch.equal(append_label(z, y)[:, :4], z) and torch.equal(append_label(z, y)[:, 4:].argmax(1), y)
    planes = label_planes(torch.zeros(3, 1, 5, 5), y)
    assert planes.shape == (3, 11, 5, 5) and torch.equal(planes[:, 1:].mean((2, 3)), F.one_hot(y, 10).float())


def test_noise_maps_and_styles_have_their_own_say():
    torch.manual_seed(0)
    generator = StyleGenerator()
    z = noise(generator, 2)
    coarse, fine, maps = generator.split(z)
    assert [m.shape[-1] for m in maps] == [7, 7, 14, 14]
    a, b = generator.map(coarse), generator.map(fine)
    torch.testing.assert_close(generator.synthesize([a, a, b, b], maps), generator(z))
    for one in ([a[:1], a[:1], b[1:], b[1:]], [a[1:], a[1:], b[:1], b[:1]]):  # each half of the style matters
        other = generator.synthesize(one, [m[1:] for m in maps])
        assert not torch.allclose(other[0], generator(z)[1], atol=1e-3)
    quiet = generator.synthesize([a[1:], a[1:], b[1:], b[1:]], [m[:1] for m in maps])  # and so does the noise
    assert not torch.allclose(quiet[0], generator(z)[1], atol=1e-3)


def test_shipped_gan_is_good():
    metrics = recipes.card("gan")["metrics"]  # test_recipes measures them again
    assert metrics["fdd"] <= 15 and metrics["recall"] >= 0.5 and metrics["class_entropy"] > 2.25


def test_adversarial_recipes_refuse_several_processes():
    two = SimpleNamespace(num_processes=2)
    gan = recipes.recipe("gan")
    with pytest.raises(ValueError, match="2 processes: adversarial recipes run in one"):
        gan.prepare(Splits((), (), "none"), two, torch.Generator())


def test_an_update_trains_both_networks_and_moves_the_average_a_little():
    torch.manual_seed(0)
    splits = Splits((data.mnist("train")[0][:64],), (), "a part")
    one = SimpleNamespace(num_processes=1, device="cpu", prepare=lambda *networks: networks)
    job = adversarial(Generator(), Discriminator(), splits, one, torch.Generator().manual_seed(0))
    weights, history = {name: next(job.parts[name].parameters()) for name in ("G", "D")}, []
    for _ in range(3):
        history.append({name: weight.detach().clone() for name, weight in weights.items()})
        logs = job.update(next(job.batches))
        assert set(logs) == {"discriminator", "generator"} and all(torch.isfinite(value) for value in logs.values())
        assert all(not torch.equal(weight, history[-1][name]) for name, weight in weights.items())
        assert all(p.requires_grad for p in job.parts["D"].parameters())
    first, second = history[1]["G"], history[2]["G"]  # the average starts at the first update
    expected = torch.lerp(torch.lerp(first, second, 0.002), weights["G"], 0.002)
    torch.testing.assert_close(next(job.model.parameters()), expected)


def test_a_slow_layer_moves_by_its_pace():
    torch.manual_seed(0)
    slow = SlowLinear(64, 500, pace=0.01)
    x = torch.randn(200, 64)
    assert 0.9 < F.leaky_relu(slow(x), 0.2).square().mean() < 1.1  # the spread of x
    before = slow(x)
    optimizer = torch.optim.SGD(slow.parameters(), lr=1.0)
    slow.weight.grad, slow.bias.grad = torch.ones_like(slow.weight), torch.zeros_like(slow.bias)
    optimizer.step()
    torch.testing.assert_close(slow(x) - before, -0.01 * x.sum(1, keepdim=True).expand(-1, 500), atol=1e-4, rtol=1e-4)
