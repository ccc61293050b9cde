"""Our diffusion recipe with one thing taken back at a time, by itself: short runs say enough, and the baseline is slow.

python tools/bench/run.py ddpm_ladder --seconds 30 --jobs 2
"""

from races.ddpm_mnist import IMAGES, ROWS  # noqa: F401

ROWS = {name: row for name, row in ROWS.items() if name.startswith("ours")}
