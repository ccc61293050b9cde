"""What a language model, which is an argument, knows of a text; rhyme."""

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_lib.data.text import rhyme_classes
from aigc_lib.losses import next_token_loss


@torch.no_grad()
def text_loss(
    model: nn.Module, ids: Tensor, context: int, batch_size: int = 64
) -> dict[str, float]:
    """The loss on a text ids (N,), in pieces of `context` tokens, none counted twice.

    Returns the mean loss in nats per token, its perplexity and the bits per token, with
    n, the number of tokens that were predicted. A longer context gives a lower loss:
    each piece begins without a past. Raises ValueError for a text that is too short.
    """
    if ids.ndim != 1 or len(ids) <= context:
        raise ValueError(
            f"a text of {len(ids)} tokens: expected more than {context}, one context"
        )
    pieces = ids.unfold(0, context + 1, context)  # (n, context + 1), sharing one token
    device = next(model.parameters()).device
    total = 0.0
    for some in pieces.split(batch_size):
        some = some.to(device)
        logits = model(some[:, :-1])
        total += len(some) * next_token_loss(logits, some[:, 1:]).item()
    nats = total / len(pieces)
    return {
        "loss": nats,
        "perplexity": math.exp(nats),
        "bits": nats / math.log(2),
        "n": len(pieces) * context,
    }


@torch.no_grad()
def masked_loss(
    model: nn.Module, rows: Tensor, first: int = 3, every: int = 7, batch_size: int = 64
) -> dict[str, float]:
    """How well a masked language model fills gaps in rows (N, T), each token once.

    In pass p = 0 … every - 1 the mask stands at the places p, p + every, p + 2 every …,
    so the gaps are the same at every call. Tokens below `first`, such as padding, are
    never hidden. model(tokens, asked) returns logits at the asked places; model.mask is
    its mask. Returns the mean loss in nats per hidden token, the accuracy, which is the
    share of gaps whose most probable token is right, and n, their number.
    """
    device = next(model.parameters()).device
    nats, right, n = 0.0, 0, 0
    for p in range(every):
        turn = torch.arange(rows.shape[1]) % every == p  # (T,)
        for some in rows.split(batch_size):
            asked = (turn & (some >= first)).to(device)
            truth = some.to(device)[asked]
            logits = model(some.to(device).masked_fill(asked, model.mask), asked)
            nats += F.cross_entropy(logits.float(), truth, reduction="sum").item()
            right += int((logits.argmax(-1) == truth).sum())
            n += len(truth)
    return {"loss": nats / n, "accuracy": right / n, "n": n}


def rhymes(poem: str) -> bool:
    """Whether the lines 2 and 4 of a quatrain rhyme in the sound of modern Mandarin.

    poem: four lines, with any marks between them. They rhyme if they end in two
    characters of one class (`data.rhyme_classes`); one character twice is no rhyme. An
    approximation: Tang poets rhymed by the sound of their time, and tones are not
    compared. Raises ValueError for another number of lines and for a character that has
    no class.
    """
    lines = re.findall(r"\w+", poem)
    if len(lines) != 4:
        raise ValueError(f"poem {poem!r} has {len(lines)} lines: expected 4")
    classes, ends = rhyme_classes(), (lines[1][-1], lines[3][-1])
    for end in ends:
        if end not in classes:
            raise ValueError(f"character {end!r}: not in the table of rhyme classes")
    return ends[0] != ends[1] and classes[ends[0]] == classes[ends[1]]
