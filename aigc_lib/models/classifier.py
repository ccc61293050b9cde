"""A small digit classifier; its last hidden layer is the meter's feature space."""

import torch
from torch import Tensor, nn


class DigitClassifier(nn.Module):
    """Two convolutions and two linear layers, after LeCun et al. 1998.

    Images are (B, 1, 28, 28) in [-1, 1].
    """

    width = 64

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 16, 14, 14)
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 32, 7, 7)
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, self.width),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.width, 10)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer: (B, 1, 28, 28) -> (B, 64), none negative."""
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(
                f"images have shape {tuple(x.shape)}: expected (B, 1, 28, 28)"
            )
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits: (B, 1, 28, 28) -> (B, 10)."""
        return self.head(self.features(x))

    @torch.no_grad()
    def describe(self, images: Tensor, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
        """Features (N, 64) and class probabilities (N, 10) of many images, on the CPU.

        This is what the meter asks for.
        """
        device = self.head.weight.device
        parts = [self.features(x.to(device)) for x in images.split(batch_size)]
        features = torch.cat(parts)
        return features.cpu(), self.head(features).softmax(1).cpu()
