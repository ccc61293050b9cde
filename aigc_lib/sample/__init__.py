"""Draw samples from a model, which is an argument.

codes     images as rows of tokens, drawn from a prior
diffusion noise taken away step by step: DDPM, DDIM, DPM-Solver++, inpainting
guidance  a denoiser steered towards a class
latent    codes drawn from a prior, decoded; walks between codes
latents   from a prompt to a picture: text tower, U-Net, autoencoder
pictures  drawn after captions, guided; the best of several
text      one token after another, and what may be done to the logits before the draw
upscale   large images for small ones
"""

from aigc_lib.sample.latent import bilinear, fit_prior, from_prior
from aigc_lib.sample.text import generate

__all__ = ["bilinear", "fit_prior", "from_prior", "generate"]
