"""The MLP GAN of many tutorials against our recipe, and our recipe with one thing taken back."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from loop import ablation, on_device, run_for
from torch import Tensor, nn

from aigc_lib import data, evaluate, losses, recipes, runtime
from aigc_lib.models.gan import Discriminator, Generator, mlp_discriminator, mlp_generator
from aigc_lib.training.adversarial import adversarial, measured

recipe = recipes.recipe("gan")


def published(seconds: float, seed: int, ours_otherwise: bool = False) -> dict:
    """The MLP GAN of many tutorials, its 0.8 in the place of BatchNorm's eps included, sampled in training mode.

    Binary cross-entropy, Adam 2e-4 with betas 0.5 and 0.999, batch 64, float32; fed from memory, with a fused Adam:
    both favour it. `ours_otherwise`: in the precision and with the learning-rate schedule of our recipe.
    """
    rng, device = runtime.seed(seed), runtime.device()
    G, D = mlp_generator(eps=0.8).to(device), mlp_discriminator().to(device)
    for_g, for_d = (torch.optim.Adam(n.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True) for n in (G, D))
    cast = runtime.autocast if ours_otherwise else nullcontext

    def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def update(batch: tuple) -> dict:
        x, z = on_device((*batch, torch.randn(len(batch[0]), 100, generator=rng)))
        with cast():
            fake = G(z)
            loss_g = losses.generator_loss(D(fake).float())
        step(for_g, loss_g)
        with cast():
            loss_d = losses.discriminator_loss(D(x).float(), D(fake.detach()).float()) / 2
        return {"generator": loss_g, "discriminator": step(for_d, loss_d)}

    stream = data.batches(data.mnist("train")[0], batch_size=64, generator=rng)
    steps = run_for(seconds, update, stream, [for_g, for_d] if ours_otherwise else ())
    with torch.no_grad():
        noise = torch.randn(10_000, 100, generator=rng).to(device)
        samples = torch.cat([G(z).cpu() for z in noise.split(64)])
    return {"steps": steps, **evaluate.measure(samples, data.mnist("test")[0], recipes.digit_features())}


class Transposed(Generator):
    """Our generator with DCGAN's transposed convolutions in the place of moving channels into pixels."""

    def __init__(self, latent_dim: int = 64, width: int = 64):
        super().__init__(latent_dim, width)
        double = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.body[7] = nn.ConvTranspose2d(width, width // 4, **double, bias=False)  # (B, width / 4, 14, 14)
        self.body[11] = nn.ConvTranspose2d(width // 4, 1, **double)  # (B, 1, 28, 28)
        self.body[8] = self.body[12] = nn.Identity()  # in the place of PixelShuffle


class Strided(Discriminator):
    """Our discriminator with a strided convolution in the place of moving pixels into channels."""

    def __init__(self, width: int = 64):
        super().__init__(width=width)
        self.features[0] = nn.Conv2d(1, 4, 4, stride=2, padding=1)


class Dense(nn.Sequential):
    """The tutorial's generator, without its slip."""

    latent_dim = 100

    def __init__(self):
        super().__init__(*mlp_generator())


def dense_discriminator() -> nn.Sequential:
    """The tutorial's discriminator: images -> logits (B,)."""
    return nn.Sequential(mlp_discriminator(), nn.Flatten(0))


def with_betas(*betas: float) -> Callable:
    """Adam with these decays of its two averages, in both networks."""

    def changed(job) -> None:
        for name in ("for_g", "for_d"):
            for group in job.parts[name].param_groups:
                group["betas"] = betas

    return changed


def but(
    G: Callable = Generator,
    D: Callable = Discriminator,
    r1: float = 0.3,
    average: bool = True,
    **other: object,
) -> Callable:
    """Our recipe but for one thing."""

    def contender(seconds: float, seed: int) -> dict:
        def prepare(splits, accelerator, rng):
            return adversarial(G(), D(), splits, accelerator, rng, r1=r1)

        splits = recipe.load_data()
        steps, job = ablation(prepare, splits, seconds, seed, **other)
        model = job.model if average else job.parts["G"]
        return {"steps": steps, **measured(model.eval(), splits, recipes.digit_features())}

    return contender


ROWS = {
    "published": published,
    "plain baseline, our precision and schedule": lambda seconds, seed: published(seconds, seed, True),
    "ours but the dense networks": but(G=Dense, D=dense_discriminator),
    "ours but no patches": but(G=Transposed, D=Strided),
    "ours but no R1": but(r1=0.0),
    "ours but no averaging": but(average=False),
    "ours but momentum 0.5": but(changed=with_betas(0.5, 0.99)),
    "ours but the tutorials' betas (0.5, 0.999)": but(changed=with_betas(0.5, 0.999)),
    "ours but a constant learning rate": but(schedule=False),
    "ours but float32": but(fp32=True),
}
