"""Gaps in rows of tokens, for models that fill them."""

import torch
from torch import Tensor


def hide(
    tokens: Tensor,
    vocabulary: int,
    generator: torch.Generator,
    *,
    first: int = 3,
    share: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Rows (B, T) with BERT's gaps, and which places were chosen: (B, T) bool.

    Each token is chosen with probability `share`. Of the chosen ones 80 % become the
    mask, whose number is `vocabulary`, 10 % a random token, and 10 % stay as they are
    (Devlin et al. 2019, arXiv:1810.04805, section 3.1). Tokens below `first`, such as
    padding, are never chosen and never drawn. Raises ValueError for another vocabulary
    than one above `first` and all tokens.
    """
    if not first < vocabulary or bool((tokens >= vocabulary).any()):
        raise ValueError(
            f"vocabulary {vocabulary}, tokens up to {int(tokens.max())}: "
            f"expected more than {first} and more than any token"
        )
    chosen = (torch.rand(tokens.shape, generator=generator) < share) & (tokens >= first)
    dice = torch.rand(tokens.shape, generator=generator)
    other = torch.randint(first, vocabulary, tokens.shape, generator=generator)
    gaps = torch.where(chosen & (dice < 0.8), vocabulary, tokens)
    return torch.where(chosen & (dice >= 0.9), other, gaps), chosen
