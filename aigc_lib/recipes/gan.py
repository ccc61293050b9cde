"""The recipes of the adversarial chapters: one loop for several pairs of players."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aigc_lib import data, losses
from aigc_lib.evaluate import measure
from aigc_lib.fit import progress, warmup_cosine
from aigc_lib.models.gan import (
    Discriminator,
    Generator,
    ProjectionDiscriminator,
    append_label,
    label_planes,
)
from aigc_lib.models.stylegan import StyleGenerator
from aigc_lib.nn.attention import SelfAttention2d
from aigc_lib.nn.spectral_norm import spectral_norm
from aigc_lib.recipes import digits
from aigc_lib.recipes.run import accelerator, last_step, resumable

BETAS = (0.0, 0.99)  # no momentum: the opponent has moved since
# R1 at every eighth step, eight times as strong (Karras et al. 2020, arXiv:1912.04958,
# appendix B).
LAZY = 8
DECAY = 0.998  # of the moving average of the generator's weights


def score(fake: Tensor) -> Tensor:
    """What a generator minimises against a hinge discriminator."""
    return -fake.mean()


@dataclass(frozen=True)
class Game:
    """A generator, its opponent, their losses, and how a label reaches them, if any.

    labelled: the generator's input ends in a one-hot label; judge(discriminator, x, y)
    gives logits.
    """

    build: Callable[[], nn.Module]
    opponent: Callable[[], nn.Module]
    discriminator_loss: Callable[[Tensor, Tensor], Tensor] = losses.discriminator_loss
    generator_loss: Callable[[Tensor], Tensor] = losses.generator_loss
    r1: float = 0.3
    lr_g: float = 4e-3
    lr_d: float = 4e-3
    judge: Callable[[nn.Module, Tensor, Tensor], Tensor] = lambda discriminator, x, y: (
        discriminator(x)
    )
    labelled: bool = False
    STEPS: int = field(default=10_000, init=False)
    BATCH: int = field(default=32, init=False)

    def train(
        self,
        *,
        state: Path,
        steps: int | None,
        seconds: float | None,
        seed: int,
        images: Tensor,
        labels: Tensor | None = None,
        identity: dict,
        resume: bool,
    ) -> tuple[nn.Module, int]:
        """Play the game on images (N, 1, 28, 28) in [-1, 1].

        Returns the averaged generator and the steps done.
        """
        stream_generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        accelerate = accelerator()
        if accelerate.num_processes > 1:
            raise ValueError(
                f"{accelerate.num_processes} processes: adversarial recipes run in one"
            )
        players = self.build(), self.opponent()
        generator, discriminator = (
            net.to(memory_format=torch.channels_last) for net in players
        )  # faster on CPUs
        average = AveragedModel(
            generator,
            device=accelerate.device,
            multi_avg_fn=get_ema_multi_avg_fn(DECAY),
            use_buffers=True,
        )
        generator, discriminator = accelerate.prepare(generator, discriminator)
        for_g, for_d = (
            torch.optim.Adam(net.parameters(), betas=BETAS, fused=True)
            for net in (generator, discriminator)
        )
        used = progress(steps=steps, seconds=seconds)
        labels = (
            torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
        )

        def stream():
            batches = data.batches(
                images, labels, batch_size=self.BATCH, generator=stream_generator
            )
            for step, (x, y) in enumerate(batches):
                yield (
                    step,
                    x,
                    y,
                    *(
                        self.noise(average.module, y, stream_generator)
                        for _ in range(2)
                    ),
                )

        def update(batch):
            step, *tensors = batch
            x, y, z_d, z_g = (t.to(accelerate.device) for t in tensors)
            for optimizer, peak in ((for_g, self.lr_g), (for_d, self.lr_d)):
                optimizer.param_groups[0]["lr"] = peak * warmup_cosine(used(step))
            with torch.no_grad():
                fake = generator(z_d)
            logits = self.judge(
                discriminator, torch.cat([x, fake]), torch.cat([y, y])
            ).chunk(2)
            loss_d = total = self.discriminator_loss(*logits)
            if self.r1 and step % LAZY == 0:
                total = loss_d + LAZY * self.r1 * losses.r1_penalty(
                    lambda real: self.judge(discriminator, real, y), x
                )
            for_d.zero_grad()
            total.backward()
            for_d.step()
            discriminator.requires_grad_(
                False
            )  # its gradients would be computed and thrown away
            loss_g = self.generator_loss(self.judge(discriminator, generator(z_g), y))
            for_g.zero_grad()
            loss_g.backward()
            for_g.step()
            discriminator.requires_grad_(True)
            average.update_parameters(generator)
            return {"discriminator": loss_d, "generator": loss_g}

        parts = {
            "generator": generator,
            "discriminator": discriminator,
            "average": average,
            "for_g": for_g,
            "for_d": for_d,
        }
        limits = {"steps": steps, "seconds": seconds, "resume": resume}
        done = last_step(
            resumable(
                update,
                stream(),
                parts,
                state,
                identity,
                **limits,
                accelerator=accelerate,
            )
        )
        return average.module.eval(), done

    def noise(
        self, network: nn.Module, y: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The network's input for labels (B,): noise, with the label if it has one."""
        z = torch.randn(
            len(y),
            network.latent_dim - (10 if self.labelled else 0),
            generator=generator,
        )
        return append_label(z, y) if self.labelled else z

    @torch.no_grad()
    def metrics(
        self,
        generator: nn.Module,
        training: dict[str, Tensor],
        held_out: dict[str, Tensor],
    ) -> dict[str, float]:
        """The meter on as many samples as held-out images, labels spread evenly."""
        images, device = held_out["images"], next(generator.parameters()).device
        z = self.noise(
            generator, torch.arange(len(images)) % 10, torch.Generator().manual_seed(0)
        )
        samples = torch.cat(
            [generator(part.to(device)).float().cpu() for part in z.split(500)]
        )
        return measure(samples, images, digits.features())


GAN = Game(Generator, Discriminator)
CGAN = Game(
    build=lambda: Generator(latent_dim=74),
    opponent=lambda: Discriminator(channels=11),
    judge=lambda discriminator, x, y: discriminator(label_planes(x, y)),
    labelled=True,
)
PROJECTION = Game(
    build=lambda: Generator(latent_dim=74),
    opponent=ProjectionDiscriminator,
    judge=lambda discriminator, x, y: discriminator(x, y),
    labelled=True,
)
SAGAN = Game(
    build=lambda: Generator(extra=SelfAttention2d(64)),
    opponent=lambda: Discriminator(norm=spectral_norm, extra=SelfAttention2d(64)),
    discriminator_loss=losses.hinge_loss,
    generator_loss=score,
    r1=0.0,
)
STYLEGAN = Game(StyleGenerator, Discriminator, r1=1.0, lr_d=2e-3)
