"""Latent diffusion of shapes by caption; measured on combinations it has never seen."""

import torch

from aigc_lib import diffusion, recipes
from aigc_lib.data import shapes
from aigc_lib.models.unet_text import TextUNet
from aigc_lib.sample.latents import Pipeline, no_prompt
from aigc_lib.training.latents import (
    any_wording,
    encoded,
    shape_texts,
    text_diffusion,
)
from aigc_lib.training.pairs import shape_pairs
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, DRAWN = 2_500, 5_000  # training steps, pictures
ALPHA_BAR = diffusion.cosine_schedule(1000)
LEANS_ON = ("kl_pictures", "clip_shapes")


def build() -> TextUNet:
    """The untrained network."""
    return TextUNet(text_width=64, dim=64, middle=96)


def load_data(own=None) -> Splits:
    """Latents and the number of the combination of each; held out: labels (2 each)."""
    pairs = shape_pairs(own)
    rng = torch.Generator().manual_seed(0)
    pictures, labels = shapes.shapes(DRAWN, generator=rng)
    known, held_out = shapes.combinations()
    keys = (labels[:, None] == known).all(2).int().argmax(1)  # (N,)
    latents = encoded(recipes.load("kl_pictures"), pictures)
    return Splits((latents, keys), (held_out.repeat(2, 1),), pairs.sha256)


@torch.no_grad()
def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Captions in many wordings, some of which say less than all."""
    clip = recipes.load("clip_shapes")
    known, _ = shapes.combinations()
    texts = clip.text(clip.tokens(shape_texts(known)))
    texts = torch.cat([texts, no_prompt(clip, 1)])
    with torch.enable_grad():
        return text_diffusion(
            build(), texts, splits, accelerator, rng, ALPHA_BAR, pick=any_wording
        )


def pipeline(unet: TextUNet) -> Pipeline:
    """This network with the parts that it was trained with."""
    device = unet.scale.device
    clip, autoencoder = (
        recipes.load(name).to(device) for name in ("clip_shapes", "kl_pictures")
    )
    return Pipeline(clip, unet, autoencoder, ALPHA_BAR)


def metrics(unet: TextUNet, splits: Splits) -> dict[str, float]:
    """How many pictures of unseen combinations are read as what the caption says."""
    (labels,), found = splits.held_out, {}
    prompts = shapes.captions(labels)
    for w in (1, 3):
        rng = torch.Generator().manual_seed(0)
        right = shapes.read_shapes(pipeline(unet).draw(prompts, rng, w=w)) == labels
        for name, column in zip(shapes.KINDS, right.T, strict=True):
            found[f"{name}_w{w}"] = column.float().mean().item()
        found[f"all_w{w}"] = right.all(1).float().mean().item()
    return found
