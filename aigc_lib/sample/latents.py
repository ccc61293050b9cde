"""From a prompt to a picture: the parts of latent diffusion, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aigc_lib.sample.diffusion import Denoiser, denoiser, dpm_solver, last, timesteps
from aigc_lib.sample.guidance import guided


@dataclass(frozen=True)
class Pipeline:
    """Text tower, U-Net, autoencoder and schedule of one latent diffusion model.

    clip: its `text` turns tokens into a sequence; unet: v of latents, with `scale`;
    autoencoder: `encode` and `decode`. All parts stay as they are.
    """

    clip: nn.Module
    unet: nn.Module
    autoencoder: nn.Module
    alpha_bar: Tensor

    @torch.no_grad()
    def read(self, prompts: Sequence[str]) -> Tensor:
        """Prompts -> the text tower's outputs at all places, (B, S, C).

        Raises ValueError for an empty prompt and for an unknown word, which it names.
        """
        return self.clip.text(self.clip.tokens(prompts))

    @torch.no_grad()
    def nothing(self, n: int) -> Tensor:
        """The sequence of the empty prompt, n times: (n, S, C). It stands for none."""
        return no_prompt(self.clip, n)

    @torch.no_grad()
    def encode(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> scaled latents (B, D, H/4, W/4)."""
        parts = [self.autoencoder.encode(x)[0] for x in images.split(batch_size)]
        return self.unet.scale * torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: Tensor, batch_size: int = 500) -> Tensor:
        """Scaled latents (B, D, h, w) -> images (B, 3, 4 h, 4 w) in [-1, 1]."""
        latents = latents / self.unet.scale
        parts = [self.autoencoder.decode(z) for z in latents.split(batch_size)]
        return torch.cat(parts).clamp(-1, 1)

    def noise(self, n: int, generator: torch.Generator, size: int = 32) -> Tensor:
        """Where sampling starts: standard normal latents of pictures of this size."""
        shape = n, self.unet.channels, size // 4, size // 4
        return torch.randn(shape, generator=generator).to(self.unet.scale.device)

    def towards(
        self,
        prompts: Sequence[str],
        w: float = 3.0,
        negative: Sequence[str] | None = None,
    ) -> Denoiser:
        """A denoiser of latents, one for each prompt; see `sample.guidance.guided`.

        negative: prompts to stay away from, in place of the empty one. With w = 1
        neither counts.
        """
        away = self.nothing(len(prompts)) if negative is None else self.read(negative)
        if len(away) != len(prompts):
            raise ValueError(
                f"{len(negative)} negative prompts: expected {len(prompts)}, as prompts"
            )
        wanted, other = (
            denoiser(self.unet, self.alpha_bar, text)
            for text in (self.read(prompts), away)
        )
        return guided(wanted, other, w)

    def draw(
        self,
        prompts: Sequence[str],
        generator: torch.Generator,
        *,
        w: float = 3.0,
        steps: int = 12,
        negative: Sequence[str] | None = None,
    ) -> Tensor:
        """A picture for each prompt: (B, 3, 32, 32) in [-1, 1], by DPM-Solver++."""
        toward = self.towards(prompts, w, negative)
        times = timesteps(len(self.alpha_bar), steps)
        noise = self.noise(len(prompts), generator)
        return self.decode(last(dpm_solver(toward, noise, self.alpha_bar, times)))


def no_prompt(clip: nn.Module, n: int) -> Tensor:
    """What a CLIP's text tower makes of a start and an end alone: (n, S, C)."""
    rows = clip.words.nothing().expand(n, -1)  # (n, S)
    return clip.text(rows.to(clip.log_scale.device))
