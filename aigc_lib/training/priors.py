"""What the recipes of latent-variable models measure: how good which prior is."""

import torch
from torch import Tensor, nn

from aigc_lib.data.mixture import Mixture, fit_prior
from aigc_lib.evaluate import measure, negative_elbo
from aigc_lib.evaluate.samples import Features
from aigc_lib.sample import from_prior
from aigc_lib.training.splits import Splits


def by_two_priors(
    vae: nn.Module, splits: Splits, features: Features
) -> dict[str, float]:
    """-ELBO in nats and the meter on held-out images, by two priors.

    One is N(0, I), the other, with the suffix _fitted, is fitted to training codes.
    """
    (images,), (training,) = splits.held_out, splits.training
    device, row = next(vae.parameters()).device, {}
    for suffix, prior in {"": None, "_fitted": fitted_prior(vae, training)}.items():
        rng = torch.Generator().manual_seed(0)
        elbo = negative_elbo(vae, images, rng, prior=prior)
        z = (len(images), vae.latent_dim)
        samples = from_prior(vae.images, *z, rng, device, prior).cpu()
        meter = measure(samples, images, features)
        row |= {f"test_{name}{suffix}": value for name, value in elbo.items()}
        row |= {f"{name}{suffix}": value for name, value in meter.items()}
    return row


@torch.no_grad()
def fitted_prior(vae: nn.Module, images: Tensor, components: int = 20) -> Mixture:
    """A mixture fitted to the codes of at most 20,000 images: a better prior."""
    rng, device = torch.Generator().manual_seed(0), next(vae.parameters()).device
    parts = [vae.codes(x.to(device), rng).cpu() for x in images[:20_000].split(1000)]
    codes = torch.cat(parts)
    return fit_prior(codes, min(components, len(codes) // 100 + 1), generator=rng)
