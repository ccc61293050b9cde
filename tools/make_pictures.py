"""Draw the picture of the landing page and the README from the shipped checkpoints: what each family makes.

    python tools/make_pictures.py [FILE]

No sample is picked by hand: each row shows the first ones of a fixed seed. For DALL-E, CLIP picks.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from aigc_lib import data, recipes, sample
from aigc_lib.data import shapes
from aigc_lib.data.tokenizers import CharTokenizer
from aigc_lib.models.gan import append_label
from aigc_lib.models.super_resolution import shrink
from aigc_lib.sample.codes import draw_codes
from aigc_lib.sample.pictures import fit_to_text, paint
from aigc_lib.sample.text import min_p
from aigc_lib.sample.upscale import upscale
from aigc_lib.show.images import to_uint8
from aigc_lib.training.denoising import draw

FILE = Path(__file__).resolve().parent.parent / "book" / "_static" / "families.png"
WIDTH, MARGIN, LABELS, GAP = 1600, 28, 300, 22  # pixels; the picture is shown at half its size
INK, MUTED, PAPER, LINE = "#1f2328", "#59636e", "#ffffff", "#d8dee4"
DIGITS = 14  # in a row


@dataclass
class Row:
    """One family: its name, what the row shows, and either pictures, with captions or without, or a text."""

    name: str
    note: str
    images: torch.Tensor | None = None  # (B, C, H, W)
    captions: list[str] | None = None
    scale: int = 3
    text: str = ""


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gan() -> Row:
    G, y = recipes.load("projection"), torch.arange(DIGITS) % 10
    z = torch.randn(DIGITS, 64, generator=rng())
    return Row("GAN", "two networks compete", G(append_label(z, y)))


def vae(stops: tuple[int, ...] = (3, 1, 4, 11)) -> Row:
    """A walk through the latent space from one test digit to the next."""
    model, (digits, _) = recipes.load("vae"), data.mnist("test")
    codes, _ = model.encode(digits[list(stops)])  # (4, D)
    where = torch.linspace(0, len(stops) - 1.001, DIGITS)
    walk = [torch.lerp(codes[int(w)], codes[int(w) + 1], w % 1) for w in where]
    return Row("VAE", "a walk between codes", model.images(torch.stack(walk)))


def diffusion() -> Row:
    recipe = recipes.recipe("ddpm_mnist")
    return Row("Diffusion", "noise taken away", draw(recipes.load("ddpm_mnist"), DIGITS, recipe.ALPHA_BAR, 50))


def vqvae() -> Row:
    model, prior = recipes.load("vqvae_mnist"), recipes.load("vqvae_prior")
    start = torch.full((DIGITS, 1), model.codebook.size)
    tokens = draw_codes(prior, start, (7, 7), rng(), temperature=0.8)  # as in the chapter
    return Row("VQ-VAE + GPT", "49 words make a digit", model.decode(tokens))


def super_resolution() -> Row:
    """Small digits, each followed by what was drawn for it."""
    recipe, (digits, _) = recipes.recipe("sr_mnist"), data.mnist("test")
    low = shrink(digits[: DIGITS // 2])
    large = upscale(recipes.load("sr_mnist"), low, recipe.ALPHA_BAR, steps=50, generator=rng())
    pairs = torch.stack((low.repeat_interleave(4, 2).repeat_interleave(4, 3), large), dim=1)
    return Row("Super-resolution", "7×7 pixels to 28×28", pairs.flatten(0, 1))


def gpt(prompt: str = "ROMEO:\n", lines: int = 4) -> Row:
    model = recipes.load("gpt_shakespeare")
    tokenizer = CharTokenizer(model.characters)
    tokens = torch.tensor([tokenizer.encode(prompt)])
    drawn = sample.generate(model, tokens, 300, warp=lambda x, _: min_p(x / 0.8, 0.05), generator=rng(1))
    written = [line for line in tokenizer.decode(drawn[0].tolist()).splitlines() if line]
    return Row("GPT", "character by character", text="\n".join(written[:lines]))


def clip() -> Row:
    """For each text the picture, of all emoji in the training, that fits best."""
    texts = ["red heart", "black cat", "green book", "blue circle", "grinning cat", "birthday cake", "violin"]
    model, emoji = recipes.load("clip_emoji"), data.emoji("train")
    cosines = model.encode_text(texts) @ model.encode_image(emoji.images).T
    return Row("CLIP", "finds what fits a text", emoji.images[cosines.argmax(1)], texts)


def side_by_side(images: torch.Tensor, gap: int = 2) -> torch.Tensor:
    """Several pictures for each caption, (B, n, C, H, W), as one: (B, C, H, W'), on white."""
    wide = torch.nn.functional.pad(images, (0, gap), value=1.0)
    return torch.cat(list(wide.unbind(1)), dim=-1)[..., :-gap]


NAMES = ["red heart", "grinning face", "green book"]  # of emoji


def asked() -> dict[str, list[str]]:
    """Prompts for either model of a family; the sentences are of combinations held out from all training."""
    _, held_out = shapes.combinations()
    return {"shapes": shapes.captions(held_out[[52, 71]]), "emoji": NAMES}


def captions() -> list[str]:
    """All prompts, the long ones on two lines."""
    return [text.replace(" at ", "\nat ") for texts in asked().values() for text in texts]


def dalle() -> Row:
    """Of 16 pictures for each text, the two that fit best as CLIP sees it: what the first DALL-E did."""
    wide = []
    for kind, texts in asked().items():
        model, vqvae, clip = (recipes.load(f"{name}_{kind}") for name in ("dalle", "vqvae", "clip"))
        drawn = paint(model, vqvae, texts, n=16, w=2.0, generator=rng())  # (P, 16, 3, 32, 32)
        best = fit_to_text(clip, drawn, texts).topk(2).indices
        wide.append(side_by_side(drawn[torch.arange(len(texts))[:, None], best]))
    return Row("DALL·E", "CLIP keeps 2 of 16", torch.cat(wide), captions())


def latent_diffusion() -> Row:
    wide = []
    for kind, texts in asked().items():
        pipeline = recipes.recipe(f"ldm_{kind}").pipeline(recipes.load(f"ldm_{kind}"))
        drawn = pipeline.draw([text for text in texts for _ in range(2)], rng())
        wide.append(side_by_side(drawn.unflatten(0, (len(texts), 2))))
    return Row("Latent diffusion", "denoised for a text", torch.cat(wide), captions())


FAMILIES = (gan, vae, diffusion, vqvae, super_resolution, gpt, clip, dalle, latent_diffusion)


def font(size: int, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)


def strip(row: Row) -> Image.Image:
    """The right part of a row: its pictures side by side over their captions, or its text."""
    room = WIDTH - 2 * MARGIN - LABELS
    if row.images is None:
        size, leading = 26, 36
        canvas = Image.new("RGB", (room, leading * len(row.text.splitlines())), PAPER)
        for i, line in enumerate(row.text.splitlines()):
            ImageDraw.Draw(canvas).text((0, leading * i), line, INK, font(size, "DejaVuSerif"))
        return canvas
    pixels = to_uint8(row.images)
    if pixels.shape[-1] == 1:  # digits in ink on paper
        pixels = np.repeat(255 - pixels, 3, axis=-1)
    n, height, width = len(pixels), pixels.shape[1] * row.scale, pixels.shape[2] * row.scale
    step, leading = (room - width) / max(1, n - 1), 30
    under = [caption.split("\n") for caption in row.captions or []]
    if under:
        step = room / n
    below = max((leading * len(lines) + 6 for lines in under), default=0)
    canvas = Image.new("RGB", (room, height + below), PAPER)
    for i, image in enumerate(pixels):
        tile = Image.fromarray(image).resize((width, height), Image.NEAREST)
        left = round(step * i + (step - width) / 2) if under else round(step * i)
        canvas.paste(tile, (left, 0))
        for k, line in enumerate(under[i] if under else []):
            middle = (left + width / 2, height + 6 + leading * k)
            ImageDraw.Draw(canvas).text(middle, line, INK, font(23), anchor="ma")
    return canvas


def picture(rows: list[Row]) -> Image.Image:
    """All rows under each other, with names at the left and thin lines between."""
    strips = [strip(row) for row in rows]
    heights = [max(part.height, 76) for part in strips]
    canvas = Image.new("RGB", (WIDTH, 2 * MARGIN + sum(heights) + 2 * GAP * (len(rows) - 1)), PAPER)
    pen, top = ImageDraw.Draw(canvas), MARGIN
    for i, (row, part, height) in enumerate(zip(rows, strips, heights, strict=True)):
        if i:
            pen.line((MARGIN, top - GAP, WIDTH - MARGIN, top - GAP), LINE, 2)
        middle = top + height / 2
        pen.text((MARGIN, middle - 2), row.name, INK, font(30, "DejaVuSans-Bold"), anchor="ls")
        pen.text((MARGIN, middle + 8), row.note, MUTED, font(23), anchor="la")
        canvas.paste(part, (MARGIN + LABELS, round(top + (height - part.height) / 2)))
        top += height + 2 * GAP
    return canvas


@torch.no_grad()
def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    picture([family() for family in FAMILIES]).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
