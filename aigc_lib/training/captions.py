"""The training of a DALL-E, as a `Job`: pictures as tokens, with captions."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from aigc_lib.data import shapes
from aigc_lib.data.words import split
from aigc_lib.losses import text_image_loss
from aigc_lib.models.dalle import DALLE
from aigc_lib.training.codes import encoded
from aigc_lib.training.language import language_model
from aigc_lib.training.run import Job

DROP = 0.1  # of the rows have no caption: so guidance has something to lead away from


def captioned(
    model: DALLE, batches: Iterable, accelerator, words: str, **rates: float
) -> Job:
    """The next token of rows, words or pictures, as a language model learns it."""
    loss_of = partial(text_image_loss, text=model.text - 1)
    job = language_model(model, batches, accelerator, "", loss_of=loss_of, **rates)
    return replace(job, build={"words": words})


def shape_rows(
    batches: Iterable, model: DALLE, rng: torch.Generator
) -> Iterator[tuple[Tensor]]:
    """Rows for batches of (tokens of pictures, labels): each time in new words."""
    for pictures, labels in batches:
        texts = shapes.captions(labels, rng)
        yield (hidden(model, model.rows(model.words.encode(texts), pictures), rng),)


def name_rows(
    batches: Iterable,
    names: list[str],
    model: DALLE,
    rng: torch.Generator,
    leave_out: float = 0.1,
) -> Iterator[tuple[Tensor]]:
    """Rows for batches of (tokens of pictures, numbers of their names).

    Each word is left out with probability `leave_out`, unless none would stay.
    """
    said = [split(name) for name in names]
    for pictures, numbers in batches:
        texts = []
        for i in numbers.tolist():
            stay = torch.rand(len(said[i]), generator=rng) >= leave_out
            kept = [word for word, keep in zip(said[i], stay, strict=True) if keep]
            texts.append(" ".join(kept or said[i]))
        yield (hidden(model, model.rows(model.words.encode(texts), pictures), rng),)


def hidden(model: DALLE, rows: Tensor, rng: torch.Generator) -> Tensor:
    """The same rows (B, S), some of them, `DROP` of all, without their caption."""
    chosen = torch.rand(len(rows), generator=rng) < DROP
    rows = rows.clone()
    rows[chosen, : model.text] = model.blank().to(rows.device)
    return rows


def every_drawing(vqvae: nn.Module) -> tuple[Tensor, Tensor]:
    """Tokens (N, h, w) and labels (N, 3) of all pictures of shapes to train on.

    All known combinations in all sizes, at all shifts.
    """
    known, _ = shapes.combinations()
    every = torch.cartesian_prod(
        torch.arange(len(known)),
        torch.arange(len(shapes.RADII)),
        torch.arange(len(shapes.SHIFTS)),
        torch.arange(len(shapes.SHIFTS)),
    )
    labels = known[every[:, 0]]
    radii, shifts = torch.tensor(shapes.RADII), torch.tensor(shapes.SHIFTS)
    tokens = [
        encoded(vqvae, shapes.draw_shapes(known[n], radii[r], shifts[yx]))
        for n, r, yx in zip(
            every[:, 0].split(1000),
            every[:, 1].split(1000),
            every[:, 2:].split(1000),
            strict=True,
        )
    ]
    return torch.cat(tokens), labels


def shifted(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1], on white, shifted by up to a pixel: (9 N, …)."""
    h, w = images.shape[-2:]
    wide = nn.functional.pad(images, (1, 1, 1, 1), value=1.0)
    return torch.cat(
        [wide[..., y : y + h, x : x + w] for y in range(3) for x in range(3)]
    )
