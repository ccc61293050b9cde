"""Latent diffusion of emoji by name; held out are whole groups of variants."""

import torch

from aigc_lib import diffusion, evaluate, recipes
from aigc_lib.models.unet_text import TextUNet
from aigc_lib.sample.latents import Pipeline
from aigc_lib.training.latents import encoded, read, text_diffusion
from aigc_lib.training.pairs import emoji_pairs
from aigc_lib.training.pairs import encoded as both_encoded
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, SOME = 4_000, 200  # training steps, names that are measured
ALPHA_BAR = diffusion.cosine_schedule(1000)
LEANS_ON = ("kl_pictures", "clip_emoji")


def build() -> TextUNet:
    """The untrained network."""
    return TextUNet(text_width=96, dim=64, middle=128)


def load_data(own=None) -> Splits:
    """Latents and their numbers; held out: pictures and the tokens of their names."""
    pairs = emoji_pairs(own)
    latents = encoded(recipes.load("kl_pictures"), pairs.training[0])
    keys = torch.arange(len(latents))
    return Splits((latents, keys), pairs.held_out, pairs.sha256)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """One name for each picture."""
    texts = read(recipes.load("clip_emoji"), emoji_pairs().training[1])
    run = splits, accelerator, rng, ALPHA_BAR
    return text_diffusion(build(), texts, *run, pick=lambda keys, _: keys)


def pipeline(unet: TextUNet) -> Pipeline:
    """This network with the parts that it was trained with."""
    autoencoder, clip = (recipes.load(n).to(unet.scale.device) for n in LEANS_ON)
    return Pipeline(clip, unet, autoencoder, ALPHA_BAR)


def metrics(unet: TextUNet, splits: Splits) -> dict[str, float]:
    """Does CLIP find the name of 16? For known names and held-out ones."""
    parts, rng = pipeline(unet), torch.Generator().manual_seed(0)
    training = emoji_pairs().training
    found = {}
    for name, pairs in (("train", training), ("held_out", splits.held_out)):
        every = max(1, len(pairs[1]) // SOME)
        tokens = pairs[1][::every]
        drawn = parts.draw(parts.clip.words.decode(tokens), rng)
        images, texts = both_encoded(parts.clip, drawn, tokens)
        right, ways = torch.arange(len(tokens)), min(16, len(tokens))
        found[f"{name}_choice_16"] = evaluate.choice(images @ texts.T, right, ways)
        apart = torch.cdist(drawn.flatten(1), training[0].flatten(1)).min(1).values
        found[f"{name}_nearest_rms"] = (apart / 3072**0.5).mean().item()
    return found
