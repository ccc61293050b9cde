"""Self-attention over the places in an image (Zhang et al. 2019)."""

import torch
from torch import Tensor, nn


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
