"""Spectral normalisation, and self-attention over the places in an image.

Miyato et al. 2018 and Zhang et al. 2019.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), its largest singular value, tracked by power iteration.

    This is algorithm 1 of arXiv:1802.05957, as a parametrization of a weight
    (out, in, ...), seen as a matrix (out, in * ...). Each use in training mode makes
    one iteration; the vectors u and v are buffers, so a checkpoint keeps them.
    """

    def __init__(self, weight: Tensor, iterations: int = 15):
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(iterations):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by u' W v; u and v are constants for the gradient."""
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        u, v = self.u.clone(), self.v.clone()  # a later use may change the buffers
        sigma = u @ matrix @ v
        return weight / sigma


def spectral_norm(layer: nn.Module) -> nn.Module:
    """Give the layer's weight, seen as a matrix, spectral norm 1; returns the layer.

    While the weight changes, its norm is only nearly 1.
    """
    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return layer


class SelfAttention2d(nn.Module):
    """Each place gathers from all others what answers its question.

    x (B, C, H, W) -> x + gamma * gathered (B, C, H, W). gamma starts at 0, so that an
    untrained layer changes nothing (Zhang et al. 2019, arXiv:1805.08318, eqs. 1-3).
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 8
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each place gathers (B, C, H, W), and the weights (B, H*W, H*W).

        Each row of weights sums to 1.
        """
        b, _, h, w = x.shape
        q = self.query(x).flatten(2)  # (B, C/8, HW)
        k = self.key(x).flatten(2)  # (B, C/8, HW)
        v = self.value(x).flatten(2)  # (B, C/2, HW)
        weights = (q.transpose(1, 2) @ k).float().softmax(dim=2)  # (B, HW, HW)
        gathered = v @ weights.to(v.dtype).transpose(1, 2)  # (B, C/2, HW)
        return self.out(gathered.reshape(b, -1, h, w)), weights

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.attend(x)[0]
