"""The VAE of pytorch/examples against our recipe."""

import torch

from aigc_lib import data, losses, recipes, runtime
from aigc_lib.fit import fit
from aigc_lib.models.vae import mlp_vae


def published(seconds: float, seed: int) -> dict:
    """The VAE of pytorch/examples, from its description: 784-400-20, ReLU, Adam 1e-3, batch 128, float32.

    Its batches come from memory here, which is faster than its own loader: the comparison favours it.
    """
    generator = runtime.seed(seed)
    vae = mlp_vae(latent_dim=20, hidden=400)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)

    def update(batch):
        (x,) = batch
        logits, mu, logvar = vae(x, torch.randn(len(x), 20, generator=generator))
        parts = losses.vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        return parts

    recipe = recipes.recipe("vae")
    splits = recipe.load_data()
    stream = data.batches(*splits.training, batch_size=128, generator=generator)
    for step, _ in fit(update, stream, seconds=seconds):  # noqa: B007
        pass
    return {"steps": step, **recipe.metrics(vae.eval(), splits)}
