"""The U-Net of latent diffusion: small latents, and a text to attend to.

Rombach et al. 2022, arXiv:2112.10752: where Stable Diffusion reads its prompt. Blocks,
norms and v are those of `unet_fast`. Shapes: B batch, T places of the latents, S tokens
of the text, C width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_lib.models.transformer import FeedForward
from aigc_lib.models.unet import Condition, expect_images
from aigc_lib.models.unet_fast import ResBlock, channel_norm
from aigc_lib.nn.attention import MultiHeadAttention


class TextBlock(nn.Module):
    """Attention among places, attention to the text, a feed-forward net.

    Each part adds to the stream. Places (B, T, C), text (B, S, text_width) -> places.
    """

    def __init__(self, C: int, heads: int, text_width: int, hidden: int | None = None):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(C) for _ in range(3))
        self.attention = MultiHeadAttention(C, heads)
        self.cross = MultiHeadAttention(C, heads, memory_width=text_width)
        self.feed_forward = FeedForward(C, hidden or 2 * C, "gelu")
        lasts = (self.attention.out, self.cross.out, self.feed_forward.down)
        for layer in lasts:  # an untrained block changes nothing
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        return self.attend(x, text)[0]

    def attend(self, x: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves the block (B, T, C), the weights on the text (B, nh, T, S)."""
        first, second, third = self.norms
        x = x + self.attention(first(x))
        read, weights = self.cross.attend(second(x), text)
        x = x + read
        return x + self.feed_forward(third(x)), weights


class Stage(nn.Module):
    """Convolutions, which know the time, then a `TextBlock`: (B, C, H, W) twice."""

    def __init__(self, C: int, width: int, heads: int, text_width: int):
        super().__init__()
        self.convolve = ResBlock(C, width)
        self.read = TextBlock(C, heads, text_width)

    def forward(self, x: Tensor, e: Tensor, text: Tensor) -> Tensor:
        return self.attend(x, e, text)[0]

    def attend(self, x: Tensor, e: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves the stage, and the weights on the text (B, nh, H W, S)."""
        x = self.convolve(x, e)
        B, C, H, W = x.shape
        places = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, HW, C)
        places, weights = self.read.attend(places, text)
        return places.view(B, H, W, C).permute(0, 3, 1, 2), weights


class TextUNet(nn.Module):
    """Noisy latents (B, channels, H, W), times (B,), texts (B, S, text_width) -> v.

    One stage at full resolution, `blocks` at half of it, one more at full resolution
    with a skip connection from the first. H and W are even. scale: what the latents
    were multiplied by, which a sampler has to divide by.
    """

    def __init__(
        self,
        text_width: int,
        channels: int = 4,
        dim: int = 64,
        middle: int = 96,
        blocks: int = 2,
        heads: int = 4,
        width: int = 128,
    ):
        super().__init__()
        self.channels, self.kind, self.text_width = channels, "v", text_width
        self.condition = Condition(width, classes=0)
        self.first = nn.Conv2d(channels, dim, 3, padding=1)
        self.down = Stage(dim, width, heads, text_width)
        self.smaller = nn.Conv2d(4 * dim, middle, 1)
        self.middle = nn.ModuleList(
            Stage(middle, width, heads, text_width) for _ in range(blocks)
        )
        self.larger = nn.Conv2d(middle, 4 * dim, 1)
        self.up = Stage(dim, width, heads, text_width)
        self.last = nn.Conv2d(dim, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("scale", torch.ones(()))
        self.to(memory_format=torch.channels_last)

    @property
    def stages(self) -> list[Stage]:
        """All stages, in the order in which they are passed."""
        return [self.down, *self.middle, self.up]

    def forward(self, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        return self.attend(x, t, text)[0]

    def attend(self, x: Tensor, t: Tensor, text: Tensor) -> tuple[Tensor, list[Tensor]]:
        """v like x, and each stage's weights on the text (B, nh, places, S)."""
        expect_images(x, t, self.channels, 2)
        self._expect_text(text, len(x))
        e = F.silu(self.condition(t, None))  # (B, width)
        h = self.first(x.contiguous(memory_format=torch.channels_last))
        h, looked = self.down.attend(h, e, text)
        skip, weights = h, [looked]
        h = self.smaller(F.pixel_unshuffle(h, 2))  # (B, middle, H/2, W/2)
        for stage in self.middle:
            h, looked = stage.attend(h, e, text)
            weights.append(looked)
        h = skip + F.pixel_shuffle(self.larger(h), 2)  # (B, dim, H, W)
        h, looked = self.up.attend(h, e, text)
        v = self.last(F.silu(channel_norm(h)))  # (B, channels, H, W)
        return v, [*weights, looked]

    def _expect_text(self, text: Tensor | None, n: int) -> None:
        shape = None if text is None else tuple(text.shape)
        if shape is None or len(shape) != 3 or shape[::2] != (n, self.text_width):
            raise ValueError(
                f"text of shape {shape}: expected ({n}, S, {self.text_width}), a "
                "sequence of vectors for each image"
            )
