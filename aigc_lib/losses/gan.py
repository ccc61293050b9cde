"""The losses of adversarial games: logits in, one scalar out.

Logits have any shape with one value per sample. A discriminator's logit is
log D/(1 - D): positive means "real". softplus(-logit) = -log D and
softplus(logit) = -log(1 - D), so no loss takes the logarithm of a rounded probability.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] in nats: the negative of V(D, G).

    V is eq. 1 of Goodfellow et al. 2014. real, fake: logits, one per sample. The loss
    is 2 log 2 for a discriminator that cannot tell.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-E[log D(G(z))], the non-saturating loss.

    Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """
    return F.softplus(-fake).mean()


def saturating_generator_loss(fake: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], the minimax loss: its gradient dies where D is sure.

    arXiv:1406.2661, eq. 1.
    """
    return -F.softplus(fake).mean()


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - real)] + E[max(0, 1 + fake)] for the discriminator.

    Its generator minimises -E[fake] (Lim & Ye 2017, arXiv:1705.02894).
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[fake] - E[real] for the critic: minus its estimate of the Wasserstein distance.

    An estimate only while the critic is 1-Lipschitz. Its generator minimises -E[fake]
    (arXiv:1701.07875, eq. 2).
    """
    return fake.mean() - real.mean()


def relativistic_loss(winner: Tensor, loser: Tensor) -> Tensor:
    """E[-log sigmoid(winner - loser)] over pairs: which of two is real.

    The discriminator takes (real, fake), the generator (fake, real)
    (Jolicoeur-Martineau 2018, arXiv:1807.00734).
    """
    if winner.shape != loser.shape:
        raise ValueError(
            f"logits {tuple(winner.shape)} and {tuple(loser.shape)}: "
            f"expected pairs of one shape"
        )
    return F.softplus(loser - winner).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, u: Tensor
) -> Tensor:
    """E[(|grad critic(x)| - 1)^2] at x = u real + (1 - u) fake.

    real, fake: (B, ...); u: (B,) uniform in [0, 1]. The critic must treat the samples
    of a batch one by one (no BatchNorm). The result has a graph, so that it can be
    trained on (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3).
    """
    if real.shape != fake.shape or u.shape != real.shape[:1]:
        raise ValueError(
            f"real {tuple(real.shape)}, fake {tuple(fake.shape)}, u {tuple(u.shape)}: "
            f"expected (B, ...) twice and (B,)"
        )
    u = u.reshape(-1, *[1] * (real.ndim - 1))
    norm = _slopes(critic, u * real.detach() + (1 - u) * fake.detach()).norm(dim=1)
    return (norm - 1).square().mean()


def r1_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """E[|grad critic(x)|^2] / 2 at real x (B, ...).

    Mescheder et al. 2018, arXiv:1801.04406, eq. 9 with gamma = 1.
    """
    return 0.5 * _slopes(critic, real.detach()).square().sum(1).mean()


def _slopes(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of critic(x) at each sample: (B, ...) -> (B, number of entries).

    It is flat, and has a graph.
    """
    x = x.clone().requires_grad_(True)
    (slopes,) = torch.autograd.grad(critic(x).float().sum(), x, create_graph=True)
    return slopes.flatten(1)
