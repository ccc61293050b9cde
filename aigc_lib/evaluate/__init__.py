"""The one meter: how far samples are from real data, and how likely a model finds it.

Models and feature networks are arguments; nothing here knows which one it measures.
"""

from aigc_lib.evaluate.likelihood import iwae_bound, negative_elbo
from aigc_lib.evaluate.modes import modes_held
from aigc_lib.evaluate.recorded import recorded
from aigc_lib.evaluate.samples import (
    class_entropy,
    frechet_distance,
    measure,
    precision_recall,
)

__all__ = [
    "class_entropy",
    "frechet_distance",
    "iwae_bound",
    "measure",
    "modes_held",
    "negative_elbo",
    "precision_recall",
    "recorded",
]
