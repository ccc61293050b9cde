"""All that ends up on the page: figures, grids, players, widgets, claims, sources.

Most functions return an object that Jupyter, Colab and the static site display; each
picture takes an `alt` text that says what a reader who cannot see it needs to know.
Importing this package sets the course's matplotlib style.
"""

from aigc_lib.show.bugs import expect_error
from aigc_lib.show.claim import claim
from aigc_lib.show.explore import explore
from aigc_lib.show.figures import COLORS, figure
from aigc_lib.show.heatmaps import heatmaps
from aigc_lib.show.images import grid, row
from aigc_lib.show.player import player, text_player
from aigc_lib.show.points import labelled
from aigc_lib.show.probabilities import probabilities
from aigc_lib.show.source import show_source
from aigc_lib.show.table import table
from aigc_lib.show.tokens import tokens

__all__ = [
    "COLORS",
    "claim",
    "expect_error",
    "explore",
    "figure",
    "grid",
    "labelled",
    "heatmaps",
    "player",
    "probabilities",
    "row",
    "show_source",
    "table",
    "text_player",
    "tokens",
]
