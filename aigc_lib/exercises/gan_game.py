"""Checks for the GAN chapter's exercises on the steps of the game."""

import copy

import torch
from torch import nn

from aigc_lib import losses
from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_shape,
    expect_trainable,
    same,
)


@exercise
def dirac_step(answer):
    """answer(theta, psi, lr, gamma): four scalars -> (2,), both players after one
    simultaneous step with R1."""
    cases = [(1.0, 0.5, 0.1, 0.0), (-0.7, 1.2, 0.2, 0.5), (0.3, -2.0, 0.05, 1.0)]
    for theta, psi, lr, gamma in cases:
        got = call(answer, *(torch.tensor(v) for v in (theta, psi, lr, gamma)))
        expect_shape(got, (2,), "theta and psi")
        logit = torch.tensor(theta * psi)
        s = torch.sigmoid(logit)  # the slope of softplus there
        step = torch.stack([s * psi, -s * theta - gamma * psi])
        start = torch.tensor([theta, psi])
        true = start + lr * step
        moved, later = true
        psi_after = [
            psi - lr * (slope * moved + gamma * psi)
            for slope in (s, torch.sigmoid(moved * psi))
        ]
        theta_after = [
            theta + lr * slope * later for slope in (s, torch.sigmoid(theta * later))
        ]
        both = "in a simultaneous step both use the old values."
        slips = [
            *(
                (torch.stack([moved, p]), f"psi already sees the new theta: {both}")
                for p in psi_after
            ),
            *(
                (torch.stack([t, later]), f"theta already sees the new psi: {both}")
                for t in theta_after
            ),
            (start - lr * step, "Both players walk backwards: check the signs."),
            (
                torch.stack([theta - lr * s * psi, later]),
                "theta walks the wrong way: it should go towards larger psi * theta, "
                "where D says 'real'.",
            ),
        ]
        hint = "The slope of softplus(u) is sigmoid(u); use the chain rule."
        if same(got[0], moved):
            hint = (
                "theta is right; psi is not. "
                "Its loss is softplus(psi * theta) + gamma * psi^2 / 2."
            )
        compare(got, true, slips, hint)
    return "With gamma = 0 the pair spirals outwards; with gamma > 0 it comes home."


@exercise
def r1(answer):
    """answer(D, x): a function (B, ...) -> (B,) and real samples -> (),
    E[|slope|^2] / 2, with a graph."""
    for shape in [(4, 2), (3, 1, 5, 5)]:
        x = torch.randn(shape)
        size = x[0].numel()
        layers = [nn.Flatten(), nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, 1)]
        net = nn.Sequential(*layers, nn.Flatten(0))
        got = call(answer, net, x)
        expect_shape(got, (), "one number: the mean over the samples")
        if any(p.grad is not None for p in net.parameters()):
            raise Wrong(
                "Your function leaves gradients in the discriminator: "
                "use torch.autograd.grad, not backward."
            )
        true = losses.r1_penalty(net, x)
        if same(got, true):
            expect_trainable(got, true, net[1].weight)
            continue
        if same(got, 2 * true):
            raise Wrong("The factor 1/2 is missing.")
        if same(got, true * len(x)):
            raise Wrong("You sum over the samples: take the mean.")
        if same(got, true / size):
            raise Wrong(
                "You average over the coordinates: the squared length is their sum."
            )
        if same(got, true / len(x) ** 2):
            raise Wrong(
                "You differentiate the *mean* of the logits, "
                "which shrinks each slope by B: use the sum."
            )
        raise Wrong("The value is off. For a linear logit w.x it must be |w|^2 / 2.")
    return "Zero exactly where the logit is flat on the data."


@exercise
def update_discriminator(answer):
    """answer(generator, discriminator, x, z, optimizer): one step of D; returns its
    loss ()."""
    for batch in (4, 7):
        generator = nn.Linear(3, 2)
        discriminator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        twin = copy.deepcopy(discriminator)
        before = copy.deepcopy(generator.state_dict())
        x, z = torch.randn(batch, 2), torch.randn(batch, 3)
        both = discriminator, twin
        optimizer, by_twin = (torch.optim.SGD(d.parameters(), lr=0.1) for d in both)
        for d in both:  # a gradient left over from before
            for p in d.parameters():
                p.grad = torch.ones_like(p)
        reached = []
        for p in generator.parameters():
            p.register_hook(lambda grad, reached=reached: reached.append(True))
        got = call(answer, generator, discriminator, x, z, optimizer)
        expect_shape(got, (), "the loss before the step")
        now = generator.state_dict()
        if any(not torch.equal(v, before[k]) for k, v in now.items()):
            raise Wrong("The generator has moved: this is the discriminator's turn.")
        if reached:
            raise Wrong(
                "Gradients have reached the generator: what cuts the fakes off from it?"
            )
        if not all(p.requires_grad for p in generator.parameters()):
            raise Wrong(
                "The generator is left frozen and could not learn in its turn: "
                "cut off the fakes instead."
            )
        pairs = list(zip(discriminator.parameters(), twin.parameters(), strict=True))
        if all(torch.equal(a, b) for a, b in pairs):
            raise Wrong(
                "The discriminator has not moved: "
                "backward, then step(), no zero_grad() in between."
            )
        true = losses.discriminator_loss(twin(x), twin(generator(z).detach()))
        if not same(got, true):
            raise Wrong(
                "The loss is off: "
                "softplus(-logit) on real, softplus(logit) on fake, both averaged."
            )
        by_twin.zero_grad()
        true.backward()
        by_twin.step()
        if not all(same(a, b) for a, b in pairs):
            raise Wrong(
                "The loss is right, the step is not: "
                "did an old gradient stay (optimizer.zero_grad())?"
            )
    return "The generator kept its parameters and got no gradient."
