"""Draw the pictures of the landing page and the README from the shipped checkpoints."""

from pathlib import Path

import torch
from PIL import Image

from aigc_lib import data, recipes
from aigc_lib.show.images import tile

STATIC = Path(__file__).resolve().parent.parent / "book" / "_static"


def vae_walks(stops: tuple[int, ...] = (3, 5, 1, 4, 8, 7, 2, 61, 18, 11), between: int = 4) -> torch.Tensor:
    """Images (B, 1, 28, 28): two walks through the latent space past five test digits each."""
    vae = recipes.load("vae")
    digits, _ = data.mnist("test")
    codes, _ = vae.encode(digits[list(stops)])  # (10, D)
    walks = []
    for walk in codes.split(5):
        for a, b in zip(walk[:-1], walk[1:], strict=True):
            walks += [torch.lerp(a, b, step / between) for step in range(between)]
        walks.append(walk[-1])
    return vae.images(torch.stack(walks))


def main() -> None:
    pixels = tile(vae_walks(), ncols=17, pad=0)
    height, width = pixels.shape
    Image.fromarray(pixels).resize((width * 2, height * 2), Image.NEAREST).save(STATIC / "hero-vae.png", optimize=True)


if __name__ == "__main__":
    main()
