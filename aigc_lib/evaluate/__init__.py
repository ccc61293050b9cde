"""The one meter: how far samples are from real data, and what data cost a model.

Models and feature networks are arguments; nothing here knows which one it measures.
"""

from aigc_lib.evaluate.coders import grid_bits, jpeg, png_bits, psnr
from aigc_lib.evaluate.codes import code_bits, code_use, pair_nats
from aigc_lib.evaluate.likelihood import iwae_bound, negative_elbo
from aigc_lib.evaluate.modes import modes_held
from aigc_lib.evaluate.recorded import origin, race_rows, recorded
from aigc_lib.evaluate.retrieval import choice, recall
from aigc_lib.evaluate.samples import (
    class_entropy,
    density_coverage,
    frechet_distance,
    inception_score,
    kid,
    measure,
    precision_recall,
)
from aigc_lib.evaluate.text import masked_loss, rhymes, text_loss

__all__ = [
    "choice",
    "class_entropy",
    "code_bits",
    "code_use",
    "density_coverage",
    "frechet_distance",
    "grid_bits",
    "inception_score",
    "iwae_bound",
    "jpeg",
    "kid",
    "masked_loss",
    "measure",
    "modes_held",
    "negative_elbo",
    "origin",
    "pair_nats",
    "png_bits",
    "precision_recall",
    "psnr",
    "race_rows",
    "recall",
    "recorded",
    "rhymes",
    "text_loss",
]
