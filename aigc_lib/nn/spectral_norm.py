"""Spectral normalisation of a layer's weight (Miyato et al. 2018)."""

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
