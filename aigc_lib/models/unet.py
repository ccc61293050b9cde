"""The U-Net of diffusion models.

Ronneberger et al. 2015, arXiv:1505.04597, with the blocks of Ho et al. 2020,
arXiv:2006.11239, appendix B.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Condition(nn.Module):
    """What every block is told: the time, and the class if there is one: (B, width).

    Class `classes` stands for "no class", which is also what y = None means.
    """

    def __init__(self, width: int, classes: int, frequencies: int = 32):
        super().__init__()
        falling = torch.arange(frequencies) / frequencies
        self.register_buffer("frequencies", 10_000.0**-falling, persistent=False)
        self.time = nn.Sequential(
            nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.classes = classes
        self.label = nn.Embedding(classes + 1, width) if classes else None
        if classes:
            nn.init.normal_(self.label.weight, std=0.02)

    def forward(self, t: Tensor, y: Tensor | None) -> Tensor:
        angles = t[:, None] * self.frequencies  # (B, frequencies)
        e = self.time(torch.cat((angles.sin(), angles.cos()), dim=1))  # (B, width)
        if self.label is None:
            if y is not None:
                raise ValueError("classes given: this network was built without")
            return e
        if y is None:
            y = torch.full_like(t, self.classes)
        elif not 0 <= int(y.min()) <= int(y.max()) <= self.classes:
            raise ValueError(
                f"class {int(y.min())} to {int(y.max())}: expected 0 to "
                f"{self.classes - 1}, or {self.classes} for none"
            )
        if y.shape != t.shape:
            raise ValueError(
                f"classes {tuple(y.shape)}: expected one for each of {len(t)} images"
            )
        return e + self.label(y)


def expect_images(x: Tensor, t: Tensor, channels: int, multiple: int) -> None:
    """Raise ValueError unless x is (B, channels, H, W), and t (B,) int64.

    H and W have to be multiples of `multiple`, since they are halved on the way down.
    """
    fits = x.ndim == 4 and x.shape[1] == channels
    if not fits or x.shape[2] % multiple or x.shape[3] % multiple:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: expected (B, {channels}, H, W), H and W "
            f"multiples of {multiple}"
        )
    if t.shape != x.shape[:1] or t.dtype != torch.int64 or bool((t < 0).any()):
        raise ValueError(
            f"t of shape {tuple(t.shape)} and type {t.dtype}: expected one time "
            f"for each of {len(x)} images, int64, at least 0"
        )


class ResBlock(nn.Module):
    """Two convolutions around a hint of the time: (B, inputs, H, W) -> (B, outputs, …).

    What it computes is added to its input.
    """

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.hint = nn.Linear(width, outputs)
        same = inputs == outputs
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.conv2.weight)  # an untrained block passes its input on
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.hint(F.silu(e))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """Each place gathers from all others, with one head: (B, C, H, W) -> the same."""

    def __init__(self, C: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, C)
        self.qkv, self.out = nn.Conv2d(C, 3 * C, 1), nn.Conv2d(C, C, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)  # (B, C, HW) each
        weights = (q.mT @ k / math.sqrt(q.shape[1])).softmax(dim=-1)  # (B, HW, HW)
        gathered = v @ weights.mT  # (B, C, HW)
        return x + self.out(gathered.view_as(x))


class UNet(nn.Module):
    """Noisy images (B, C, H, W), times (B,), classes (B,) or None -> like the images.

    Down: at each level two blocks, then half the size. Up: the same backwards, and
    each block also gets what the block opposite has seen, by a skip connection. kind
    says what the output means: eps, x0 or v (see `diffusion.target`).
    """

    def __init__(
        self,
        channels: int = 1,
        dim: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 4),
        classes: int = 0,
        kind: str = "eps",
    ):
        super().__init__()
        self.channels, self.kind, self.classes = channels, kind, classes
        self.halvings = len(multipliers) - 1
        width = 4 * dim
        self.condition = Condition(width, classes)
        self.first = nn.Conv2d(channels, dim, 3, padding=1)
        widths = [dim * m for m in multipliers]
        self.down, self.smaller = nn.ModuleList(), nn.ModuleList()
        self.up, self.larger = nn.ModuleList(), nn.ModuleList()
        skips, C = [dim], dim
        for level, w in enumerate(widths):
            for _ in range(2):
                self.down.append(ResBlock(C, w, width))
                skips.append(C := w)
            if level < self.halvings:
                self.smaller.append(nn.Conv2d(C, C, 3, stride=2, padding=1))
                skips.append(C)
        self.middle = nn.ModuleList([ResBlock(C, C, width), ResBlock(C, C, width)])
        self.attention = Attention(C)
        for level, w in reversed(list(enumerate(widths))):
            for _ in range(3):
                self.up.append(ResBlock(C + skips.pop(), w, width))
                C = w
            if level > 0:
                self.larger.append(nn.Conv2d(C, C, 3, padding=1))
        self.norm, self.last = nn.GroupNorm(8, C), nn.Conv2d(C, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        expect_images(x, t, self.channels, 2**self.halvings)
        e = self.condition(t, y)  # (B, 4 dim)
        h = self.first(x)  # (B, dim, H, W)
        seen = [h]
        for i, block in enumerate(self.down):
            h = block(h, e)
            seen.append(h)
            if i % 2 and i // 2 < self.halvings:
                h = self.smaller[i // 2](h)  # (B, …, H / 2, W / 2)
                seen.append(h)
        h = self.middle[1](self.attention(self.middle[0](h, e)), e)
        for i, block in enumerate(self.up):
            h = block(torch.cat((h, seen.pop()), dim=1), e)
            if i % 3 == 2 and i // 3 < self.halvings:
                h = self.larger[i // 3](F.interpolate(h, scale_factor=2.0))
        return self.last(F.silu(self.norm(h)))  # (B, C, H, W)
