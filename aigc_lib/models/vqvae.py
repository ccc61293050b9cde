"""Images as words of a small dictionary: VQ-VAE, with a codebook or with FSQ.

van den Oord et al. 2017, arXiv:1711.00937; Mentzer et al. 2023, arXiv:2309.15505.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def nearest(z: Tensor, vectors: Tensor) -> Tensor:
    """The number of the nearest row of `vectors` (K, D) for each of z (N, D): (N,).

    |z|^2 is the same for all rows of `vectors`, so it need not be computed. Of rows at
    equal distance the first one counts.
    """
    scores = torch.addmm(vectors.square().sum(1), z, vectors.T, alpha=-2)  # (N, K)
    return scores.argmin(dim=1)


def straight_through(z: Tensor, zq: Tensor) -> Tensor:
    """The value of zq with the gradient of z: two (B, D, h, w) -> the same.

    Bengio et al. 2013, arXiv:1308.3432.
    """
    return z + (zq - z).detach()


class Codebook(nn.Module):
    """`size` vectors of `width` numbers, which a gradient moves.

    Calling it replaces each vector of z (B, D, h, w) by the nearest of its own. It
    returns these, with the gradient of z, and their numbers (B, h, w) int64.
    """

    def __init__(self, size: int, width: int):
        super().__init__()
        self.size = size
        self.vectors = nn.Parameter(torch.randn(size, width))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.nearest(z)
        return straight_through(z, self.lookup(tokens)), tokens

    def nearest(self, z: Tensor) -> Tensor:
        """The tokens of z: (B, D, h, w) -> (B, h, w) int64."""
        B, _, h, w = z.shape
        return nearest(_rows(z).float(), self.vectors.float()).view(B, h, w)

    def lookup(self, tokens: Tensor) -> Tensor:
        """The vectors of tokens: (B, h, w) int64 -> (B, D, h, w)."""
        expect_tokens(tokens, self.size)
        return F.embedding(tokens, self.vectors).permute(0, 3, 1, 2)


class AveragedCodebook(Codebook):
    """A codebook without gradients: each vector is a moving average of what chose it.

    It starts empty: the first call of `learn` puts its vectors among those of the
    batch. A code is dead when its share of the vectors falls below `alive` times an
    equal share; it is moved as well. alive = 0 leaves dead codes where they are.
    """

    def __init__(self, size: int, width: int, decay: float = 0.95, alive: float = 0.1):
        super().__init__(size, width)
        start = self.vectors.detach()
        del self.vectors
        self.register_buffer("vectors", start)
        self.register_buffer("total", torch.zeros(size, width))
        self.register_buffer("count", torch.zeros(size))
        self.decay, self.alive = decay, alive

    @torch.no_grad()
    def learn(self, z: Tensor, tokens: Tensor, lots: Tensor) -> int:
        """Move the vectors towards the z that chose them; returns how many were dead.

        z (B, D, h, w), tokens (B, h, w); lots (B, h, w) are random numbers: dead codes
        move to the places with the highest ones. The averages are those of appendix A.1
        of arXiv:1711.00937.
        """
        rows = _rows(z).float()  # (N, D)
        if not self.count.any():  # the first call: every code is moved
            return self._move(torch.ones_like(self.count, dtype=torch.bool), rows, lots)
        chosen = F.one_hot(tokens.flatten(), self.size).to(rows.dtype)  # (N, K)
        self.count.lerp_(chosen.sum(0), 1 - self.decay)
        self.total.lerp_(chosen.T @ rows, 1 - self.decay)
        used = self.count > 0
        self.vectors[used] = self.total[used] / self.count[used, None]
        dead = self.count < self.alive * len(rows) / self.size
        return self._move(dead, rows, lots)

    def _move(self, dead: Tensor, rows: Tensor, lots: Tensor) -> int:
        """Put the dead codes at rows (N, D), with the count of an equal share."""
        places = dead.nonzero()[:, 0][: len(rows)]  # at most one for each row
        self.vectors[places] = rows[lots.flatten().topk(len(places)).indices]
        self.count[places] = len(rows) / self.size
        self.total[places] = self.vectors[places] * self.count[places, None]
        return len(places)


class FSQ(nn.Module):
    """Finite scalar quantisation: each number is rounded to one of a few levels.

    The codes are all combinations of the levels; nothing is learned and none can die.
    For odd levels this is the paper's; for even ones it spreads the levels over the
    same range and rounds, where the paper shifts.
    """

    def __init__(self, levels: tuple[int, ...] = (8, 4, 4)):
        super().__init__()
        steps = torch.tensor(levels)
        self.size = int(steps.prod())
        self.register_buffer("steps", steps - 1, persistent=False)
        place = torch.cat([torch.ones(1, dtype=torch.long), steps.cumprod(0)[:-1]])
        self.register_buffer("place", place, persistent=False)  # as ones, tens, …

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, D, h, w), D the number of levels -> levels in [-1, 1], and tokens."""
        steps = self.steps.view(-1, 1, 1)
        inside = (z.tanh() + 1) / 2 * steps  # 0 to steps
        digits = inside.round()
        tokens = (digits.long() * self.place.view(-1, 1, 1)).sum(1)  # (B, h, w)
        return straight_through(inside, digits) * 2 / steps - 1, tokens

    def lookup(self, tokens: Tensor) -> Tensor:
        """The levels of tokens: (B, h, w) int64 -> (B, D, h, w) in [-1, 1]."""
        expect_tokens(tokens, self.size)
        digits = tokens[:, None] // self.place.view(-1, 1, 1)
        steps = self.steps.view(-1, 1, 1)
        return digits % (steps + 1) * 2 / steps - 1


class VQVAE(nn.Module):
    """Encoder, codebook (one of the three above) and decoder.

    encoder maps images (B, C, H, W) in [-1, 1] to z (B, D, h, w), decoder maps vectors
    of the codebook to the logits of the pixels (B, C, H, W).
    """

    def __init__(self, encoder: nn.Module, codebook: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.codebook, self.decoder = encoder, codebook, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, C, H, W), z (B, D, h, w) before quantisation, tokens (B, h, w)."""
        z = self.encoder(x)
        zq, tokens = self.codebook(z)
        return self.decoder(zq), z, tokens

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> tokens (B, h, w) int64."""
        return self.codebook(self.encoder(x))[1]

    def logits(self, tokens: Tensor) -> Tensor:
        """The logits of the pixels, (B, C, H, W), given tokens (B, h, w)."""
        return self.decoder(self.codebook.lookup(tokens))

    @torch.no_grad()
    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, h, w) int64 -> images (B, C, H, W) in [-1, 1]."""
        return 2 * self.logits(tokens).sigmoid() - 1


class Residual(nn.Module):
    """x plus what a small convolution makes of it: (B, C, h, w) -> the same."""

    def __init__(self, channels: int, kernel: int = 3):
        super().__init__()
        self.gather = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.silu(self.gather(F.silu(x))))


class Patches(nn.Module):
    """Patches of 4x4 pixels become channels: (B, C, H, W) -> (B, 16 C, H/4, W/4)."""

    def __init__(self, colours: int):
        super().__init__()
        self.colours = colours

    def forward(self, x: Tensor) -> Tensor:
        fits = x.ndim == 4 and x.shape[1] == self.colours
        if not fits or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: expected (B, {self.colours}, H, W), "
                "H and W multiples of 4"
            )
        # A memory layout in which convolutions are faster on a CPU.
        return F.pixel_unshuffle(x, 4).contiguous(memory_format=torch.channels_last)


def encoder(
    outputs: int,
    channels: int = 48,
    colours: int = 1,
    blocks: int = 1,
    kernel: int = 3,
):
    """A network from images to `outputs` numbers for each patch of 4x4 pixels.

    kernel: 3 to see the patches around, too; 1 to see each patch by itself, so that
    equal patches have equal codes.
    """
    return nn.Sequential(
        Patches(colours),
        nn.Conv2d(16 * colours, channels, kernel, padding=kernel // 2),
        *(Residual(channels, kernel) for _ in range(blocks)),
        nn.SiLU(),
        nn.Conv2d(channels, outputs, 1),
    ).to(memory_format=torch.channels_last)


def decoder(inputs: int, channels: int = 48, colours: int = 1, blocks: int = 1):
    """A network from `inputs` numbers for each patch to the logits of the pixels."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 3, padding=1),
        *(Residual(channels) for _ in range(blocks)),
        nn.SiLU(),
        nn.Conv2d(channels, 16 * colours, 3, padding=1),
        nn.PixelShuffle(4),
    ).to(memory_format=torch.channels_last)


def expect_tokens(tokens: Tensor, size: int) -> None:
    """Raise ValueError unless tokens are (B, h, w) int64 from 0 to size - 1."""
    if tokens.ndim != 3 or tokens.dtype != torch.int64:
        raise ValueError(
            f"tokens of shape {tuple(tokens.shape)} and type {tokens.dtype}: expected "
            "(B, h, w) int64"
        )
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < size:
        raise ValueError(
            f"tokens from {int(tokens.min())} to {int(tokens.max())}: expected 0 to "
            f"{size - 1}, the codes of this codebook"
        )


def _rows(z: Tensor) -> Tensor:
    return z.permute(0, 2, 3, 1).flatten(0, 2)  # (B, D, h, w) -> (B h w, D)
