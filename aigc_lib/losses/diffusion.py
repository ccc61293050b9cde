"""The loss of diffusion models."""

from torch import Tensor


def denoising_loss(output: Tensor, wanted: Tensor) -> Tensor:
    """The squared error per pixel, averaged over pixels and batch: both (B, …).

    Ho et al. 2020, arXiv:2006.11239, eq. 14, but for the constant number of pixels,
    which is divided out. `wanted` is eps there, and may be x0 or v.
    """
    if output.shape != wanted.shape:
        raise ValueError(
            f"output {tuple(output.shape)}, wanted {tuple(wanted.shape)}: "
            "expected the same shape"
        )
    return (output - wanted).square().mean()
