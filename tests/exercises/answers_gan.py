"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the GAN chapter."""

import math

import torch
import torch.nn.functional as F

from aigc_lib import losses
from aigc_lib.exercises import gan as check

__all__ = ["RIGHT", "WRONG", "check"]


def both(real, fake):
    return losses.discriminator_loss(real, fake)


def slopes(critic, x, graph=True):
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(critic(x).sum(), x, create_graph=graph)[0].flatten(1)


def r1_by_functional(critic, x):
    one = torch.func.grad(lambda sample: critic(sample[None])[0])
    return 0.5 * torch.func.vmap(one)(x).flatten(1).pow(2).sum(1).mean()


def r1_by_backward(critic, x):
    x = x.clone().requires_grad_(True)
    critic(x).sum().backward()
    return 0.5 * x.grad.flatten(1).square().sum(1).mean()


def dirac(theta, psi, lr, gamma):
    s = torch.sigmoid(theta * psi)
    return torch.stack([theta + lr * s * psi, psi - lr * (s * theta + gamma * psi)])


def dirac_by_autograd(theta, psi, lr, gamma):
    t, p = theta.clone().requires_grad_(), psi.clone().requires_grad_()
    (for_t,) = torch.autograd.grad(-F.softplus(t * p), t)
    (for_p,) = torch.autograd.grad(F.softplus(t * p) + gamma / 2 * p**2, p)
    return torch.stack([theta - lr * for_t, psi - lr * for_p])


def step_of_d(generator, discriminator, x, z, optimizer, fake=None, zero=True, sign=1.0, step=True, loss_of=both):
    fake = generator(z).detach() if fake is None else fake
    loss = sign * loss_of(discriminator(x), discriminator(fake))
    if zero:
        optimizer.zero_grad()
    loss.backward()
    if step:
        optimizer.step()
    return loss.detach()


def step_by_hand(generator, discriminator, x, z, optimizer):
    with torch.no_grad():
        fake = generator(z)
    logits = discriminator(torch.cat([x, fake]))
    target = torch.cat([torch.ones(len(x), 1), torch.zeros(len(fake), 1)])
    loss = 2 * F.binary_cross_entropy_with_logits(logits, target)
    for p, g in zip(
        discriminator.parameters(), torch.autograd.grad(loss, list(discriminator.parameters())), strict=True
    ):
        p.grad = g
    optimizer.step()
    return loss


def step_without_detach(generator, discriminator, x, z, optimizer):
    return step_of_d(generator, discriminator, x, z, optimizer, fake=generator(z))


def step_that_hides_its_tracks(generator, discriminator, x, z, optimizer):
    loss = step_without_detach(generator, discriminator, x, z, optimizer)
    generator.zero_grad()
    return loss


def step_of_both(generator, discriminator, x, z, optimizer):
    loss = step_of_d(generator, discriminator, x, z, optimizer)
    with torch.no_grad():
        generator.weight.add_(0.1)
    return loss


def near(points, centres, radius):
    return torch.cdist(points, centres) <= radius


def modes_by_loop(points, centres, radius, least):
    held = sum(sum(bool((p - c).norm() <= radius) for p in points) >= least for c in centres)
    return torch.tensor(held)


RIGHT = {
    "discriminator_loss": [
        lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
        lambda r, f: (
            F.binary_cross_entropy_with_logits(r, torch.ones_like(r))
            + F.binary_cross_entropy_with_logits(f, torch.zeros_like(f))
        ),
        lambda r, f: -F.logsigmoid(r.double()).mean() - F.logsigmoid(-f.double()).mean(),
    ],
    "best_response": [
        lambda p, q: torch.sigmoid(p - q),
        lambda p, q: torch.stack([p, q]).softmax(0)[0],
        lambda p, q: torch.exp(p - torch.logaddexp(p, q)),
    ],
    "js_divergence": [
        lambda r, f: math.log(2) - both(r, f) / 2,
        lambda r, f: (F.logsigmoid(r).mean() + F.logsigmoid(-f).mean() + math.log(4)) / 2,
    ],
    "dirac_step": [dirac, dirac_by_autograd],
    "r1": [
        lambda c, x: 0.5 * slopes(c, x).square().sum(1).mean(),
        r1_by_functional,
        lambda c, x: slopes(c, x).norm(dim=1).pow(2).mean() / 2,
    ],
    "update_discriminator": [step_of_d, step_by_hand],
    "modes": [
        lambda p, c, r, n: (near(p, c, r).sum(0) >= n).sum(),
        modes_by_loop,
        lambda p, c, r, n: (near(p, c, r).float().sum(0) > n - 0.5).sum(),
    ],
}

WRONG = {
    "discriminator_loss": [
        (lambda r, f: -(r.sigmoid().log().mean() + (1 - f.sigmoid()).log().mean()), "inf or nan"),
        (lambda r, f: -both(r, f), "sign"),
        (lambda r, f: both(f, r), "swap"),
        (lambda r, f: both(r, f) / 2, "sum"),
        (lambda r, f: F.softplus(-r).sum() + F.softplus(f).sum(), "average"),
        (lambda r, f: F.softplus(-r).mean(), "off"),
    ],
    "best_response": [
        (lambda p, q: p.exp() / (p.exp() + q.exp()), "underflow"),
        (lambda p, q: torch.sigmoid(q - p), "being fake"),
        (lambda p, q: p - q, "logit"),
        (lambda p, q: (p - q).exp(), "odds"),
        (lambda p, q: torch.sigmoid(p - q).mean(), "shape"),
        (lambda p, q: torch.sigmoid((p - q) / 2), "off"),
    ],
    "js_divergence": [
        (lambda r, f: math.log(4) - both(r, f), "factor of two"),
        (lambda r, f: -both(r, f), "V itself"),
        (lambda r, f: both(r, f) / 2 - math.log(2), "sign"),
        (lambda r, f: 1 - both(r, f) / 2 / math.log(2), "bits"),
        (lambda r, f: F.logsigmoid(r).mean() + math.log(2), "off"),
    ],
    "dirac_step": [
        (lambda t, p, lr, g: torch.stack([t, p]) - (dirac(t, p, lr, g) - torch.stack([t, p])), "backwards"),
        (lambda t, p, lr, g: torch.stack([2 * t - dirac(t, p, lr, g)[0], dirac(t, p, lr, g)[1]]), "wrong way"),
        (lambda t, p, lr, g: torch.stack([dirac(t, p, lr, g)[0], p + lr * t]), "psi is not"),
        (
            lambda t, p, lr, g: torch.stack(
                [dirac(t, p, lr, g)[0], p - lr * (torch.sigmoid(t * p) * dirac(t, p, lr, g)[0] + g * p)]
            ),
            "old values",
        ),
        (lambda t, p, lr, g: torch.stack([t + lr * p, p - lr * t - lr * g * p]), "off"),
        (lambda t, p, lr, g: dirac(t, p, lr, g)[0], "shape"),
    ],
    "r1": [
        (lambda c, x: slopes(c, x).square().sum(1).mean(), "1/2"),
        (lambda c, x: 0.5 * slopes(c, x).square().sum(), "mean"),
        (lambda c, x: 0.5 * slopes(c, x).square().mean(), "coordinates"),
        (lambda c, x: 0.5 * slopes(c, x).square().sum(1).mean().detach(), "no graph"),
        (lambda c, x: 0.5 * slopes(c, x, graph=False).square().sum(1).mean(), "no graph"),
        (lambda c, x: 0.5 * (slopes(c, x) / len(x)).square().sum(), "value is off"),
        (r1_by_backward, "leaves gradients"),
        (lambda c, x: slopes(c, x).square().sum(1), "shape"),
    ],
    "update_discriminator": [
        (step_without_detach, "reached the generator"),
        (step_that_hides_its_tracks, "reached the generator"),
        (step_of_both, "has moved"),
        (lambda *a: step_of_d(*a, step=False), "has not moved"),
        (lambda *a: step_of_d(*a, zero=False), "old gradient"),
        (lambda *a: step_of_d(*a, sign=-1.0), "loss is off"),
        (lambda *a: step_of_d(*a, loss_of=lambda r, f: both(f, r)), "loss is off"),
        (lambda *a: step_of_d(*a, loss_of=lambda r, f: both(r, f) / 2), "loss is off"),
    ],
    "modes": [
        (lambda p, c, r, n: near(p, c, r).any(1).sum(), "count the centres"),
        (lambda p, c, r, n: (torch.cdist(p, c).argmin(1).bincount(minlength=len(c)) >= n).sum(), "use the radius"),
        (lambda p, c, r, n: near(p, c, r).sum(0), "shape"),
        (lambda p, c, r, n: (near(p, c, r).sum(0) > n).sum(), "Off by one"),
        (lambda p, c, r, n: near(p, c, r).any(0).sum(), "not enough"),
        (lambda p, c, r, n: ((torch.cdist(p, c) ** 2 <= r).sum(0) >= n).sum(), "not its square"),
        (lambda p, c, r, n: torch.tensor(len(c) + 1), "off"),
    ],
}
