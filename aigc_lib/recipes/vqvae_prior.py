"""A GPT over the words that the VQ-VAE makes of digits: their learned prior."""

from dataclasses import replace

import torch

from aigc_lib import data, recipes
from aigc_lib.evaluate import code_bits, measure
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.recipes.digits import features
from aigc_lib.recipes.vqvae_mnist import K
from aigc_lib.sample.codes import code_rows, draw_codes
from aigc_lib.training.codes import encoded
from aigc_lib.training.language import language_model
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, digit_images

STEPS, BATCH = 2_500, 64
LEANS_ON = ("vqvae_mnist", "digits")


def build() -> FastGPT:
    """The untrained network: 128 codes and a start token, 49 places."""
    return FastGPT(K + 1, context=49, layers=3, heads=4, width=96)


def load_data(own=None) -> Splits:
    """The tokens of MNIST's digits, or of pictures of the reader's own."""
    splits, model = digit_images(own, at_least=2 * BATCH), recipes.load("vqvae_mnist")
    rows = (
        code_rows(encoded(model, images), K)
        for (images,) in (splits.training, splits.held_out)
    )
    training, held_out = rows
    return Splits((training,), (held_out, *splits.held_out), splits.sha256)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """The next code by Muon and Adam."""
    batches = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    return replace(language_model(build(), batches, accelerator, ""), build={})


def metrics(model: FastGPT, splits: Splits) -> dict[str, float]:
    """Bits per held-out image, and the meter on 2,000 samples."""
    rows, images = splits.held_out
    some, rng = images[::5], torch.Generator().manual_seed(0)
    start = rows[: len(some), :1].to(next(model.parameters()).device)
    tokens = draw_codes(model, start, (7, 7), rng)
    drawn = recipes.load("vqvae_mnist").decode(tokens.cpu())
    return {"test_bits": code_bits(model, rows)} | measure(drawn, some, features())
