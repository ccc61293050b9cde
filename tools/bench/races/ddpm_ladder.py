"""Our diffusion recipe with one thing taken back at a time. The race of ddpm_mnist compares it with the baseline.

python tools/bench/run.py ddpm_ladder --seconds 120 --jobs 2

A row needs some 1,500 steps: at 400, the moving average still holds 42 % of the untrained weights. The U-Net of DDPM
makes a tenth of the steps of ours in the same time, so its row goes without the average and belongs beside "ours but no
averaging".
"""

from races.ddpm_mnist import IMAGES, ROWS, but, ddpm_unet  # noqa: F401

LEFT_OUT = ("ours but 50 sampling steps", "ours but no classes", "ours but float32", "ours but the U-Net of DDPM")
ROWS = {name: row for name, row in ROWS.items() if name.startswith("ours") and name not in LEFT_OUT}
ROWS |= {"no averaging, and the U-Net of DDPM": but(ddpm_unet, average=False)}
