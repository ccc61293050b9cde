"""Draw samples from a model, which is an argument.

codes     images as rows of tokens, drawn from a prior
diffusion noise taken away step by step: DDPM, DDIM, DPM-Solver++, inpainting
guidance  a denoiser steered towards a class
latent    codes drawn from a prior, decoded; walks between codes
text      one token after another, and what may be done to the logits before the draw
"""

from aigc_lib.sample.latent import bilinear, fit_prior, from_prior
from aigc_lib.sample.text import generate

__all__ = ["bilinear", "fit_prior", "from_prior", "generate"]
