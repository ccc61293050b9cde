"""Muon: momentum whose update of a matrix is made orthogonal.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

from aigc_lib import runtime


class Muon(Optimizer):
    """For the matrices of hidden layers; embeddings, heads and vectors go to Adam.

    A gradient's few large singular values drown the many small ones. Here the large
    ones become about 1 and the small ones grow by up to some hundred times, so that a
    step of size `lr` learns in many directions. Each step also shrinks the weights by
    a factor of 1 - lr * weight_decay, as AdamW does.
    """

    def __init__(
        self,
        params,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim < 2:
                    raise ValueError(
                        f"a parameter of shape {tuple(p.shape)}: expected matrices "
                        "or filters"
                    )

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update, with Nesterov momentum, of all matrices that have a gradient."""
        for group in self.param_groups:
            for same_shape in self._updates(group).values():
                matrices, updates = zip(*same_shape, strict=True)
                rows, columns = updates[0].shape
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for p, update in zip(
                    matrices, orthogonalise(torch.stack(updates)), strict=True
                ):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update.view_as(p), alpha=-rate)

    def _updates(self, group: dict) -> dict[torch.Size, list[tuple[Tensor, Tensor]]]:
        """(matrix, its momentum) by shape: equal shapes are orthogonalised together."""
        beta, found = group["momentum"], {}
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["average"] = torch.zeros_like(p)
            state["average"].lerp_(p.grad, 1 - beta)
            # A filter (outputs, inputs, 3, 3) is a matrix (outputs, 9 inputs).
            update = p.grad.lerp(state["average"], beta).flatten(1)
            found.setdefault(update.shape, []).append((p, update))
        return found


def orthogonalise(g: Tensor, steps: int = 5) -> Tensor:
    """Matrices (N, R, C) with the same singular vectors and more equal singular values.

    Newton-Schulz in place of an SVD: an odd polynomial, applied five times. A value
    above about 0.01 of the norm ends between 0.7 and 1.2; smaller ones are multiplied
    by up to 3.4445^5, about 485. It needs no more digits than bfloat16 has.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    dtype = torch.bfloat16 if runtime.precision() == "bf16" else torch.float32
    x = (g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return (x.mT if tall else x).to(g.dtype)
