"""The VAE of pytorch/examples against our recipe, and our recipe with one thing taken back."""

from collections.abc import Callable

import torch
from loop import ablation, on_device, run_for

from aigc_lib import data, losses, recipes, runtime
from aigc_lib.models.vae import mlp_vae
from aigc_lib.training.run import Job

recipe = recipes.recipe("vae")
BASELINE_BATCH, BASELINE_LR = 128, 1e-3


def published(seconds: float, seed: int, ours_otherwise: bool = False) -> dict:
    """The VAE of pytorch/examples, from its description: 784-400-20, ReLU, Adam 1e-3, batch 128, float32.

    Its batches come from memory and Adam is fused here, which is faster than its own code: that favours it.
    `ours_otherwise`: in the precision and with the learning-rate schedule of our recipe.
    """
    rng = runtime.seed(seed)
    vae = mlp_vae(latent_dim=20, hidden=400).to(runtime.device())
    optimizer = torch.optim.Adam(vae.parameters(), lr=BASELINE_LR, fused=True)

    def update(batch: tuple) -> dict:
        x, eps = on_device((*batch, torch.randn(len(batch[0]), 20, generator=rng)))
        with torch.autocast(x.device.type, torch.bfloat16, ours_otherwise and runtime.precision() == "bf16"):
            outputs = vae(x, eps)
        logits, mu, logvar = (output.float() for output in outputs)
        parts = losses.vae_loss(logits, x, mu, logvar)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        return parts

    splits = recipe.load_data()
    stream = data.batches(*splits.training, batch_size=BASELINE_BATCH, generator=rng)
    steps = run_for(seconds, update, stream, [optimizer] if ours_otherwise else ())
    return {"steps": steps, **recipe.metrics(vae.eval(), splits)}


def but(build: Callable = recipe.build, job: dict | None = None, **other) -> Callable:
    """Our recipe but for one thing: the network, an argument of `elbo_job`, or one of `ablation`."""

    def contender(seconds: float, seed: int) -> dict:
        def prepare(splits, accelerator, rng):
            return recipe.elbo_job(build(), splits, accelerator, rng, **(job or {}))

        splits = recipe.load_data()
        steps, trained = ablation(prepare, splits, seconds, seed, **other)
        return {"steps": steps, **recipe.metrics(trained.model.eval(), splits)}

    return contender


def with_usual_beta2(job: Job) -> None:
    """Adam's second average as long as PyTorch's default has it; the recipe's forgets ten times faster."""
    for group in job.parts["optimizer"].param_groups:
        group["betas"] = (0.9, 0.999)


ROWS = {
    "published": published,
    "plain baseline, our precision and schedule": lambda seconds, seed: published(seconds, seed, True),
    "ours but the dense network": but(build=lambda: mlp_vae(latent_dim=20, hidden=400)),
    "ours but a constant learning rate": but(schedule=False),
    "ours but a peak learning rate of 1e-3": but(job={"lr": BASELINE_LR}),
    "ours but batches of 128": but(job={"batch_size": BASELINE_BATCH}),
    "ours but Adam's usual beta2": but(changed=with_usual_beta2),
    "ours but float32": but(fp32=True),
}
