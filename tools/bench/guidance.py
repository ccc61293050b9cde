"""What guidance does to the one meter: digits of the checkpoint at several guidance scales, over three seeds.

    python tools/bench/guidance.py

Each row has as many samples, from the same noise, as there are held-out digits; only the scale differs.
"""

import json
import statistics

import torch
from run import provenance, save

from aigc_lib import data, evaluate, recipes
from aigc_lib.sample.diffusion import ddim, denoiser, last, timesteps
from aigc_lib.sample.guidance import guided

N, STEPS, SEEDS = 1000, 20, [0, 1, 2]
SCALES = [0, 1, 1.5, 2, 4, 8]


def samples(
    model: torch.nn.Module, alpha_bar: torch.Tensor, w: float, seed: int, batch_size: int = 250
) -> torch.Tensor:
    """N images at guidance scale w, the classes in turn."""
    rng = torch.Generator().manual_seed(seed)
    times, found = timesteps(len(alpha_bar), STEPS), []
    for rows in torch.arange(N).split(batch_size):
        x = torch.randn(len(rows), 1, 28, 28, generator=rng)
        by_class = denoiser(model, alpha_bar, rows % 10)
        way = guided(by_class, denoiser(model, alpha_bar), w)
        found.append(last(ddim(way, x, alpha_bar, times)).clamp(-1, 1))
    return torch.cat(found)


def scores(images: torch.Tensor, y: torch.Tensor, held_out: torch.Tensor) -> dict[str, float]:
    """The meter, and the share of images that its classifier calls y."""
    features = recipes.digit_features()
    found = evaluate.measure(images, held_out, features)
    agreement = (features(images)[1].argmax(1) == y).float().mean().item()
    return {key: found[key] for key in ("fdd", "precision", "recall")} | {"agreement": agreement}


def main() -> None:
    digits, labels = data.mnist("test")
    held_out, y = digits[::10], torch.arange(N) % 10
    model, alpha_bar = recipes.load("ddpm_mnist"), recipes.recipe("ddpm_mnist").ALPHA_BAR
    rows = {}
    for w in SCALES:
        runs = [scores(samples(model, alpha_bar, w, seed), y, held_out) for seed in SEEDS]
        rows[f"w = {w:g}"] = {
            "mean": {key: statistics.mean(run[key] for run in runs) for key in runs[0]},
            "sd": {key: statistics.stdev(run[key] for run in runs) for key in runs[0]},
            "runs": runs,
        }
        print(w, json.dumps(rows[f"w = {w:g}"]["mean"]), flush=True)
    real = scores(digits[5::10], labels[5::10], held_out)
    rows["real digits"] = {"mean": real, "sd": dict.fromkeys(real, 0.0), "runs": [real]}
    save("guidance", provenance() | {"n": N, "steps": STEPS, "seeds": SEEDS, "contenders": rows})


if __name__ == "__main__":
    main()
