"""Pictures with texts: the data of CLIP's recipes, and their training as a `Job`."""

from collections.abc import Iterator
from hashlib import sha256

import torch
from torch import Tensor

from aigc_lib import data
from aigc_lib.data import shapes
from aigc_lib.data.words import Words, split
from aigc_lib.losses import contrastive_loss
from aigc_lib.models.clip import CLIP
from aigc_lib.training.muon import Muon
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

SHAPE_WORDS, NAME_WORDS = 7, 11  # words of the longest caption, of the longest name


def shape_pairs(own=None) -> Splits:
    """To train on: labels (K, 3) to draw; held out: pictures and labels (8 each).

    Nothing is read from a file: the checksum is that of all captions. Raises ValueError
    for a file of the reader's own.
    """
    _refuse(own)
    known, held_out = shapes.combinations()
    rng = torch.Generator().manual_seed(0)
    labels = held_out.repeat(8, 1)
    radius = torch.tensor(shapes.RADII)[torch.randint(3, (len(labels),), generator=rng)]
    shift = torch.randint(-1, 2, (len(labels), 2), generator=rng)
    pictures = shapes.draw_shapes(labels, radius, shift)
    said = "\n".join(shapes.captions(torch.cat([known, held_out])))
    words = " ".join(shapes.words())
    checksum = sha256(said.encode()).hexdigest()
    return Splits((known,), (pictures, labels), checksum, words)


def emoji_pairs(own=None) -> Splits:
    """Pictures and the tokens (N, 13) of their names, to train on and held out.

    The words are those of all names, since the held-out ones are to be read too.
    Raises ValueError for a file of the reader's own.
    """
    _refuse(own)
    parts = [data.emoji(s) for s in ("train", "held out")]
    words = sorted({w for part in parts for name in part.names for w in split(name)})
    known = Words(words, NAME_WORDS)
    pairs = [(part.images, known.encode(part.names)) for part in parts]
    return Splits(*pairs, data.checksum("emoji"), " ".join(words))


def drawn(batches: Iterator, words: Words, rng: torch.Generator) -> Iterator:
    """(pictures, tokens) for each batch of labels: of new size, place and wording."""
    radii, shifts = torch.tensor(shapes.RADII), torch.tensor(shapes.SHIFTS)
    for (labels,) in batches:
        n = len(labels)
        radius = radii[torch.randint(len(radii), (n,), generator=rng)]
        shift = shifts[torch.randint(len(shifts), (n, 2), generator=rng)]
        texts = shapes.captions(labels, rng)
        yield shapes.draw_shapes(labels, radius, shift), words.encode(texts)


def pair_optimizers(clip: CLIP, lr: float = 0.02) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the matrices of the layers, AdamW for the rest."""
    layers = (*clip.image.encoder.layers, *clip.text.encoder.layers)
    matrices = [p for layer in layers for p in layer.parameters() if p.ndim == 2]
    rest = [p for p in clip.parameters() if all(p is not m for m in matrices)]
    muon = Muon(matrices, lr=lr, weight_decay=0.01)
    return muon, torch.optim.AdamW(rest, 3e-3, (0.9, 0.98), weight_decay=0.0)


def contrastive(clip: CLIP, batches: Iterator, accelerator, build: dict) -> Job:
    """The symmetric loss of batches (images, tokens).

    With several processes each one has its own rows of a batch as negatives.
    """
    model, muon, adam = accelerator.prepare(clip, *pair_optimizers(clip))

    def update(batch):
        images, texts, scale = model(*batch)
        parts = contrastive_loss(images, texts, scale)
        clip.zero_grad()
        accelerator.backward(parts["loss"])
        muon.step()
        adam.step()
        return parts | {"scale": scale}

    parts = {"model": clip, "muon": muon, "adam": adam}
    return Job(clip, parts, batches, update, build=build)


@torch.no_grad()
def encoded(clip: CLIP, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The vectors (N, D) of many pictures and (M, D) of many rows of tokens."""
    pictures = [clip.encode_image(part) for part in images.split(500)]
    rows = [clip.encode_tokens(part) for part in tokens.split(500)]
    return torch.cat(pictures).cpu(), torch.cat(rows).cpu()


def _refuse(own) -> None:
    if own is not None:
        raise ValueError(f"file {own}: this recipe has its own pictures and texts")
