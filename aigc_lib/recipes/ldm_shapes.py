"""Latent diffusion of shapes by caption; measured on combinations it has never seen."""

import torch

from aigc_lib import diffusion, recipes
from aigc_lib.data import shapes
from aigc_lib.models.unet_text import TextUNet
from aigc_lib.sample.latents import Pipeline
from aigc_lib.training import latents as ldm
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
    latents = ldm.encoded(recipes.load("kl_pictures"), pictures)
    return Splits((latents, keys), (held_out.repeat(2, 1),), pairs.sha256)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Captions in many wordings, some of which say less than all."""
    clip, (known, _) = recipes.load("clip_shapes"), shapes.combinations()
    texts = ldm.read(clip, clip.tokens(ldm.shape_texts(known)))
    run = splits, accelerator, rng, ALPHA_BAR
    return ldm.text_diffusion(build(), texts, *run, pick=ldm.any_wording)


def pipeline(unet: TextUNet) -> Pipeline:
    """This network with the parts that it was trained with."""
    autoencoder, clip = (recipes.load(n).to(unet.scale.device) for n in LEANS_ON)
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
