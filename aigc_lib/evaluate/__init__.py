"""The one meter: how far samples are from real data, and what data cost a model.

Models and feature networks are arguments; nothing here knows which one it measures.
"""

from aigc_lib.evaluate.likelihood import iwae_bound, negative_elbo
from aigc_lib.evaluate.modes import modes_held
from aigc_lib.evaluate.recorded import race_rows, recorded
from aigc_lib.evaluate.samples import (
    class_entropy,
    density_coverage,
    frechet_distance,
    measure,
    precision_recall,
)
from aigc_lib.evaluate.text import masked_loss, rhymes, text_loss

__all__ = [
    "class_entropy",
    "density_coverage",
    "frechet_distance",
    "iwae_bound",
    "masked_loss",
    "measure",
    "modes_held",
    "negative_elbo",
    "precision_recall",
    "race_rows",
    "recorded",
    "rhymes",
    "text_loss",
]
