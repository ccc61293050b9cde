"""The GPT of recipe gpt on Shakespeare, with a layer more, trained by steps."""

from functools import partial

from aigc_lib.recipes import gpt
from aigc_lib.recipes.gpt import LEANS_ON, metrics
from aigc_lib.training.splits import Splits

__all__ = ["LEANS_ON", "STEPS", "build", "load_data", "metrics", "prepare"]

STEPS = 2_000
build = partial(gpt.build, layers=4)
prepare = partial(gpt.prepare, build=build)


def load_data(own=None) -> Splits:
    """Shakespeare."""
    if own is not None:
        raise ValueError(f"file {own}: this recipe has its own text; try gpt")
    return gpt.load_data()
