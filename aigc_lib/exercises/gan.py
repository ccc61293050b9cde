"""Checks for the exercises of the GAN chapter."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from aigc_lib import losses
from aigc_lib.exercises.verdict import Wrong, call, exercise, expect_shape, expect_trainable, same


@exercise
def discriminator_loss(answer):
    """answer(real, fake): logits (B,) and (M,) -> (), the discriminator's loss in nats."""
    for b, m, scale in [(5, 5, 1.0), (3, 7, 2.0), (4, 4, 300.0)]:
        real, fake = torch.randn(b) * scale, torch.randn(m) * scale
        real[0], fake[0] = -scale, scale  # D is wrong: with scale 300, log of a rounded probability is -inf
        got = call(answer, real, fake)
        expect_shape(got, (), "one number for the batch")
        if not torch.isfinite(got):
            raise Wrong("A logit of a few hundred gives inf or nan: the sigmoid rounds to 0 or 1. F.softplus does not.")
        true = losses.discriminator_loss(real, fake)
        if same(got, true):
            continue
        if same(got, -true):
            raise Wrong("The sign is the other way round: D maximises V, so its *loss* is -V.")
        if same(got, losses.discriminator_loss(fake, real)):
            raise Wrong("You reward D for calling real samples fake: swap the roles.")
        if same(got, true / 2):
            raise Wrong("You average the two halves; the loss is their sum.")
        if same(got, F.softplus(-real).sum() + F.softplus(fake).sum()):
            raise Wrong("You sum over the batch: average, or the loss grows with the batch size.")
        if same(got, -(real.sigmoid().clamp(1e-45).log().mean() + (1 - fake.sigmoid()).clamp(1e-45).log().mean())):
            raise Wrong("Large logits lose their value: work with the logits, not with rounded probabilities.")
        if scale == 300.0:
            raise Wrong("Right for small logits, wrong for large ones: a probability was rounded or clamped.")
        raise Wrong("The value is off. All logits 0 must give 2 log 2; -log D is softplus(-logit).")
    return "2 log 2 for a discriminator that cannot tell, 0 for one that always can."


@exercise
def best_response(answer):
    """answer(log_p, log_q): two (N,) log-densities, of data and generator -> (N,), the optimal D."""
    for n, shift in [(6, 0.0), (1, 3.0), (4, -500.0)]:
        log_p, log_q = torch.randn(n) + shift, torch.randn(n) + shift
        got = call(answer, log_p, log_q)
        expect_shape(got, (n,), "one probability per point")
        if not torch.isfinite(got).all():
            raise Wrong("Densities like exp(-500) underflow and give 0/0: form the difference of the logarithms first.")
        true = torch.sigmoid(log_p - log_q)
        if same(got, true):
            continue
        if same(got, 1 - true):
            raise Wrong("That is the probability of being fake.")
        if same(got, log_p - log_q):
            raise Wrong("That is the optimal *logit*: D is its sigmoid.")
        if same(got, (log_p - log_q).exp()):
            raise Wrong("That is the odds p/q: the probability is odds / (1 + odds).")
        if same(got, log_p / (log_p + log_q)):
            raise Wrong("These are logarithms, not densities: p = exp(log p).")
        raise Wrong("The value is off. Equal densities must give 1/2.")
    return "The best discriminator knows the ratio of the two densities, and nothing else."


@exercise
def js_divergence(answer):
    """answer(real, fake): logits of the *optimal* discriminator, (B,) and (M,) -> (), the JS divergence in nats."""
    for b, m in [(6, 6), (3, 8)]:
        real, fake = torch.randn(b) + 1, torch.randn(m) - 1
        got = call(answer, real, fake)
        expect_shape(got, (), "one number")
        value = -losses.discriminator_loss(real, fake)
        log2 = torch.tensor(2.0).log()
        true = value / 2 + log2
        if same(got, true):
            continue
        if same(got, value + 2 * log2):
            raise Wrong("You are off by a factor of two: V = 2 JSD - 2 log 2.")
        if same(got, value / 2 - log2) or same(got, -true):
            raise Wrong("Check a sign: for a D that cannot tell, V = -2 log 2 and the divergence is 0.")
        if same(got, value):
            raise Wrong("That is V itself: solve V = 2 JSD - 2 log 2 for JSD.")
        if same(got, true / log2):
            raise Wrong("That is in bits; the course counts in nats.")
        raise Wrong("The value is off. It must be 0 for logits 0 and at most log 2.")
    return "A D that is not optimal gives less: a lower bound on the divergence."


@exercise
def dirac_step(answer):
    """answer(theta, psi, lr, gamma): four scalars -> (2,), both players after one simultaneous step with R1."""
    for theta, psi, lr, gamma in [(1.0, 0.5, 0.1, 0.0), (-0.7, 1.2, 0.2, 0.5), (0.3, -2.0, 0.05, 1.0)]:
        got = call(answer, *(torch.tensor(v) for v in (theta, psi, lr, gamma)))
        expect_shape(got, (2,), "theta and psi")
        s = torch.sigmoid(torch.tensor(theta * psi))  # the slope of softplus at psi * theta
        step = torch.stack([s * psi, -s * theta - gamma * psi])
        start = torch.tensor([theta, psi])
        if same(got, start + lr * step):
            continue
        moved = theta + lr * s * psi
        later = start[1] + lr * step[1]
        for slope in (s, torch.sigmoid(moved * psi)):
            if same(got, torch.stack([moved, psi - lr * (slope * moved + gamma * psi)])):
                raise Wrong("psi already sees the new theta: in a simultaneous step both use the old values.")
        for slope in (s, torch.sigmoid(theta * later)):
            if same(got, torch.stack([theta + lr * slope * later, later])):
                raise Wrong("theta already sees the new psi: in a simultaneous step both use the old values.")
        if same(got, start - lr * step):
            raise Wrong("Both players walk backwards: check the signs.")
        if same(got, torch.stack([theta - lr * s * psi, start[1] + lr * step[1]])):
            raise Wrong("theta walks the wrong way: it should go towards larger psi * theta, where D says 'real'.")
        if same(got[0], start[0] + lr * step[0]):
            raise Wrong("theta is right; psi is not. Its loss is softplus(psi * theta) + gamma * psi^2 / 2.")
        raise Wrong("The value is off. The slope of softplus(u) is sigmoid(u); use the chain rule.")
    return "With gamma = 0 the pair spirals outwards; with gamma > 0 it comes home."


@exercise
def r1(answer):
    """answer(critic, x): a function (B, ...) -> (B,) and real samples -> (), E[|slope|^2] / 2, with a graph."""
    for shape in [(4, 2), (3, 1, 5, 5)]:
        x = torch.randn(shape)
        net = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
        got = call(answer, net, x)
        expect_shape(got, (), "one number: the mean over the samples")
        if any(p.grad is not None for p in net.parameters()):
            raise Wrong("Your function leaves gradients in the critic: use torch.autograd.grad, not backward.")
        true = losses.r1_penalty(net, x)
        if same(got, true):
            expect_trainable(got, true, net[1].weight)
            continue
        if same(got, 2 * true):
            raise Wrong("The factor 1/2 is missing.")
        if same(got, true * len(x)):
            raise Wrong("You sum over the samples: take the mean.")
        if same(got, true / x[0].numel()):
            raise Wrong("You average over the coordinates: the squared length is their sum.")
        if same(got, true / len(x) ** 2):
            raise Wrong("You differentiate the *mean* of the logits, which shrinks each slope by B: use the sum.")
        raise Wrong("The value is off. For a linear critic w.x it must be |w|^2 / 2.")
    return "Zero exactly where the critic is flat on the data."


@exercise
def update_discriminator(answer):
    """answer(generator, discriminator, x, z, optimizer): one step of D; returns its loss ()."""
    for batch in (4, 7):
        generator, discriminator = nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        twin = copy.deepcopy(discriminator)
        before = copy.deepcopy(generator.state_dict())
        x, z = torch.randn(batch, 2), torch.randn(batch, 3)
        optimizer, by_twin = (torch.optim.SGD(d.parameters(), lr=0.1) for d in (discriminator, twin))
        for d in (discriminator, twin):  # a gradient left over from before
            for p in d.parameters():
                p.grad = torch.ones_like(p)
        reached = []
        for p in generator.parameters():
            p.register_hook(lambda grad, reached=reached: reached.append(True))
        got = call(answer, generator, discriminator, x, z, optimizer)
        expect_shape(got, (), "the loss before the step")
        if any(not torch.equal(v, before[k]) for k, v in generator.state_dict().items()):
            raise Wrong("The generator has moved: this is the discriminator's turn.")
        if reached:
            raise Wrong("Gradients have reached the generator: what cuts the fakes off from it?")
        if not all(p.requires_grad for p in generator.parameters()):
            raise Wrong("The generator is left frozen and could not learn in its turn: cut off the fakes instead.")
        if all(torch.equal(a, b) for a, b in zip(discriminator.parameters(), twin.parameters(), strict=True)):
            raise Wrong("The discriminator has not moved: backward, then step(), no zero_grad() in between.")
        true = losses.discriminator_loss(twin(x), twin(generator(z).detach()))
        if not same(got, true):
            raise Wrong("The loss is off: softplus(-logit) on real, softplus(logit) on fake, both averaged.")
        by_twin.zero_grad()
        true.backward()
        by_twin.step()
        if not all(same(a, b) for a, b in zip(discriminator.parameters(), twin.parameters(), strict=True)):
            raise Wrong("The loss is right, the step is not: did an old gradient stay (optimizer.zero_grad())?")
    return "The generator kept its parameters and got no gradient."


@exercise
def modes(answer):
    """answer(points, centres, radius, least): (N, 2), (K, 2) -> (), how many centres have `least` points near."""
    for radius, least in [(0.5, 3), (1.0, 2), (0.3, 5)]:
        # Two centres share their points, three have too few, two have theirs in the corners of the square round the
        # circle, one has plenty: so each mistake below gives a count of its own.
        centres = radius * torch.tensor([[0, 0], [1.2, 0], [8, 0], [16, 0], [24, 0], [0, 8], [8, 8], [16, 8]])
        places = radius * torch.tensor([[0.4, 0], [8, 0.5], [16, 0.5], [24, 0.5], [0.9, 8.9], [8.9, 8.9], [16, 8.1]])
        often = torch.tensor([least] + 3 * [least - 1] + 3 * [least + 1])
        points = places.repeat_interleave(often, dim=0)
        got = call(answer, points, centres, radius, least)
        expect_shape(got, (), "one count")
        distance = torch.cdist(points, centres)
        near = distance <= radius
        if same(got, (near.sum(0) >= least).sum()):
            continue
        nearest = F.one_hot(distance.argmin(1), len(centres)).bool()
        if same(got, (nearest.sum(0) >= least).sum()):
            raise Wrong("You count every point for its nearest centre, however far away: use the radius.")
        if same(got, ((nearest & near).sum(0) >= least).sum()):
            raise Wrong("A point can lie near two centres: it counts for both.")
        if same(got, near.any(1).sum()) or same(got, near.sum()):
            raise Wrong("You count the points that lie near some centre: count the centres.")
        if same(got, near.any(0).sum()):
            raise Wrong("One point is not enough: a centre counts from `least` points on.")
        if same(got, (near.sum(0) > least).sum()):
            raise Wrong("Off by one: exactly `least` points are enough.")
        raise Wrong("The value is off. Compare the length of the difference, not its square, with the radius.")
    return "A generator that covers all modes can still cover them unevenly: this count does not see that."
