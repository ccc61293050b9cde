"""Pictures drawn after captions, and the best of several; all models are arguments."""

import math

import torch
from torch import Tensor, nn

from aigc_lib.nn.kv_cache import Cache
from aigc_lib.sample.text import generate


class Guided:
    """A language model whose logits are steered towards a caption, for `generate`.

    Logits are away + w (towards - away): `towards` reads the caption, `away` reads
    `blank` (T,) in its place. w = 1 is the model itself, w = 0 reads no caption. Each
    token is computed in both readings, in one batch.
    """

    def __init__(self, model: nn.Module, blank: Tensor, w: float):
        if not math.isfinite(w):
            raise ValueError(f"w {w}: expected a finite number")
        self.model, self.blank, self.w = model, blank, w
        self.context = model.context

    def new_cache(self, batch: int) -> Cache:
        return self.model.new_cache(2 * batch)

    def next_logits(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """The steered logits after the last of tokens (B, S): (B, V)."""
        without = tokens
        if cache is None or not cache.length:  # these are the rows' first tokens
            without = tokens.clone()
            without[:, : len(self.blank)] = self.blank
        both = self.model.next_logits(torch.cat((tokens, without)), cache)
        towards, away = both.chunk(2)
        return away + self.w * (towards - away)


def draw_tokens(
    model: nn.Module,
    captions: Tensor,
    *,
    w: float = 1.0,
    temperature: float = 1.0,
    given: Tensor | None = None,
    generator: torch.Generator | None = None,
    cached: bool = True,
) -> Tensor:
    """One picture for each caption (B, T): its tokens (B, h, w) int64.

    model: a DALL-E. w: the guidance scale. given (B, l, w): the first l lines, which
    stay as they are. Words are never drawn into a picture.
    """
    rows, (h, wide) = captions, model.shape
    if given is not None:
        rows = torch.cat((captions, model.numbered(given)), dim=1)
    left = model.text + h * wide - rows.shape[1]

    def warp(logits: Tensor, _: Tensor) -> Tensor:
        logits = logits / temperature
        logits[:, : len(model.words)] = -math.inf
        return logits

    reader = model if w == 1 else Guided(model, model.blank(), w)
    if left:  # a complete row is longer than what the model reads
        rows = generate(
            reader, rows, left, warp=warp, generator=generator, cached=cached
        )
    return model.pictures(rows)


def paint(
    model: nn.Module,
    vqvae: nn.Module,
    texts: list[str],
    *,
    n: int = 1,
    w: float = 1.0,
    temperature: float = 1.0,
    given: Tensor | None = None,
    lines: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """n pictures for each of P texts: (P, n, 3, H, W) in [-1, 1], on the CPU.

    given (P, 3, H, W): pictures whose first `lines` lines of tokens are kept. Raises
    ValueError for an unknown word, an empty text, pictures of another size, and a
    VQ-VAE with another codebook than the model was trained for.
    """
    if n < 1:
        raise ValueError(f"n={n}: expected at least 1")
    if vqvae.codebook.size != model.codes:
        raise ValueError(
            f"a codebook of {vqvae.codebook.size} codes: expected {model.codes}, those "
            "that the model was trained for"
        )
    captions = model.captions(texts).repeat_interleave(n, dim=0)  # (P n, T)
    if given is not None:
        tokens = vqvae.encode(given.to(captions.device))
        if tokens.shape != (len(texts), *model.shape):
            raise ValueError(
                f"pictures {tuple(given.shape)} have {tuple(tokens.shape)} tokens: "
                f"expected {(len(texts), *model.shape)}"
            )
        if not 0 <= lines <= model.shape[0]:
            raise ValueError(f"lines={lines}: expected 0 to {model.shape[0]}")
        given = tokens[:, :lines].repeat_interleave(n, dim=0)
    tokens = draw_tokens(
        model, captions, w=w, temperature=temperature, given=given, generator=generator
    )
    drawn = torch.cat([vqvae.decode(some) for some in tokens.split(500)])
    return drawn.unflatten(0, (len(texts), n)).cpu()


@torch.no_grad()
def fit_to_text(clip: nn.Module, pictures: Tensor, texts: list[str]) -> Tensor:
    """The cosines (P, n) of pictures (P, n, 3, H, W) with their texts, by a CLIP."""
    device = next(clip.parameters()).device
    v = clip.encode_text(texts)  # (P, D)
    parts = pictures.flatten(0, 1).split(500)
    u = torch.cat([clip.encode_image(some.to(device)) for some in parts])
    return (u.view(*pictures.shape[:2], -1) @ v[:, :, None])[..., 0].cpu()


def best_of(pictures: Tensor, scores: Tensor) -> Tensor:
    """Of n pictures for each text the one with the highest score.

    (P, n, …) and (P, n) -> (P, …). Raises ValueError for shapes that do not fit.
    """
    if scores.ndim != 2 or pictures.shape[:2] != scores.shape:
        raise ValueError(
            f"pictures {tuple(pictures.shape)} and scores {tuple(scores.shape)}: "
            "expected (P, n, …) and (P, n)"
        )
    return pictures[torch.arange(len(scores)), scores.argmax(dim=1)]
