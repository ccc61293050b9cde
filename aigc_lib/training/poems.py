"""Tang quatrains as rows of tokens, of the commonest 2,500 characters."""

from collections import Counter

import torch

from aigc_lib import data
from aigc_lib.data.tokenizers import CharTokenizer
from aigc_lib.training.splits import Splits

LONGEST, V = 32, 2_500  # characters and marks of a poem; all tokens


def quatrains(own=None) -> Splits:
    """Rows (N, 34): a line end, a poem on one line, line ends. A tenth is held out.

    Token 0 is the line end, 1 and 2 are the marks. Poems with rarer characters are left
    out. Raises ValueError for a file of the reader's own.
    """
    if own is not None:
        raise ValueError(f"file {own}: this recipe has its own poems; try gpt")
    poems = [str(poem).replace("\n", "") for poem in data.tang()]
    counts = Counter("".join(poems))
    tokenizer = CharTokenizer("\n" + "".join(c for c, _ in counts.most_common(V - 1)))
    known = [poem for poem in poems if tokenizer.ids.keys() >= set(poem)]
    lines = ["\n" + poem.ljust(LONGEST + 1, "\n") for poem in known]
    rows = torch.tensor([tokenizer.encode(line) for line in lines])
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    cut = len(rows) * 9 // 10
    parts = (rows[:cut],), (rows[cut:],)
    return Splits(*parts, data.checksum("tang"), tokenizer.characters)
