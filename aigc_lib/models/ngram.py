"""Language models that count: Kneser-Ney, copies of what stood before, and a mixture.

Kneser & Ney 1995; the three discounts are those of Chen & Goodman 1999.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Table:
    """What is counted of contexts of one length; equal contexts stand in a row.

    contexts: (M,) their codes, sorted; first, sizes: (M,) where the tokens seen after
    each begin, and how many they are; total, spare: (M,) how much was counted, and how
    much of it the discounts took; tokens, kept: (G,) a token and what is left for it.
    """

    contexts: Tensor
    first: Tensor
    sizes: Tensor
    total: Tensor
    spare: Tensor
    tokens: Tensor
    kept: Tensor

    @classmethod
    def of(cls, grams: Tensor, counts: Tensor, base: int) -> "Table":
        """The table of sorted codes of context and token (G,), with their counts."""
        taken = discounts(counts)[counts.clamp(max=3)]  # (G,)
        contexts, sizes = torch.unique_consecutive(grams // base, return_counts=True)
        owner = torch.repeat_interleave(sizes)  # (G,) the row of each gram's context
        none = torch.zeros(len(contexts))
        total = none.index_add(0, owner, counts.float())
        spare = none.index_add(0, owner, taken)
        first = sizes.cumsum(0) - sizes
        return cls(contexts, first, sizes, total, spare, grams % base, counts - taken)

    def find(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of contexts (N,), and which of them were seen at all: (N,) each."""
        row = torch.searchsorted(self.contexts, codes).clamp(max=len(self.contexts) - 1)
        return row, self.contexts[row] == codes


def discounts(counts: Tensor) -> Tensor:
    """What is taken off a count of 0, 1, 2, and of 3 or more: (G,) int64 -> (4,).

    Chen & Goodman 1999, modified Kneser-Ney; 0.5 where too little was counted for it.
    None is below 0.1, so that something is left for shorter contexts.
    """
    n = torch.bincount(counts.clamp(max=5), minlength=5)[1:5].float()
    y = n[0] / (n[0] + 2 * n[1])
    found = [k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3)]
    return torch.stack((0 * y, *found)).nan_to_num(0.5, 0.5, 0.5).clamp(min=0.1, max=3)


class KneserNey(nn.Module):
    """Log-probabilities of the next token: (B, T) int64 -> (B, T, V) float32.

    They rest on what stood after the last `order` tokens in the text `ids` (N,). From
    each count a discount is taken, and goes to what shorter contexts say; these are
    told by how many different tokens stood before. Raises ValueError for a text that
    is too short or has other tokens, an order too high for codes of 63 bits, and for
    tokens to predict from that are not (B, T) or not in the vocabulary.
    """

    def __init__(self, ids: Tensor, vocabulary: int, order: int = 7):
        super().__init__()
        base = vocabulary + 1  # one token more: "before the text", which is never seen
        if not 1 <= order or base ** (order + 1) >= 2**63:
            raise ValueError(
                f"order {order}: expected at least 1 and, with {vocabulary} tokens, "
                f"{base}^(order + 1) below 2^63"
            )
        if ids.ndim != 1 or len(ids) <= order:
            raise ValueError(
                f"a text of shape {tuple(ids.shape)}: expected (N,), with more than "
                f"{order} tokens"
            )
        self.order, self.vocabulary, self.base = order, vocabulary, base
        ids = self._known(ids[None])[0]
        self.uniform = nn.Parameter(torch.tensor(1 / vocabulary), requires_grad=False)
        context = self._codes(ids[None, :-1], order)[0, order - 1 :]
        grams, counts = torch.unique(context * base + ids[order:], return_counts=True)
        tables = [Table.of(grams, counts, base)]
        for length in range(order, 0, -1):  # without their first token, once each
            grams, counts = torch.unique(grams % base**length, return_counts=True)
            tables.append(Table.of(grams, counts, base))
        self.tables = tables[::-1]  # by length of context: 0, 1, ... order

    def _known(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T), on the CPU, where the tables are."""
        if tokens.ndim != 2:
            raise ValueError(f"tokens of shape {tuple(tokens.shape)}: expected (B, T)")
        least, most = (x.item() for x in tokens.aminmax())
        if least < 0 or most >= self.vocabulary:
            raise ValueError(
                f"tokens from {least} to {most}: expected 0 to {self.vocabulary - 1}"
            )
        return tokens.cpu()

    def _codes(self, tokens: Tensor, length: int) -> Tensor:
        """The last `length` tokens up to each of tokens (B, T), as one number each."""
        before = tokens.new_full((len(tokens), length), self.vocabulary)
        padded, code = torch.cat((before, tokens), dim=1), torch.zeros_like(tokens)
        for i in range(1, length + 1):
            code = code * self.base + padded[:, i : i + tokens.shape[1]]
        return code

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self._known(tokens)
        p = torch.full((tokens.numel(), self.vocabulary), self.uniform.item())
        for length, table in enumerate(self.tables):
            row, seen = table.find(self._codes(tokens, length).flatten())
            total = table.total[row]
            p *= torch.where(seen, table.spare[row] / total, 1.0)[:, None]
            sizes = torch.where(seen, table.sizes[row], 0)
            place = torch.repeat_interleave(sizes)  # (K,) which of the n it adds to
            behind = torch.arange(len(place)) - (sizes.cumsum(0) - sizes)[place]
            gram = table.first[row][place] + behind
            share = table.kept[gram] / total[place]
            p.view(-1).index_add_(
                0, place * self.vocabulary + table.tokens[gram], share
            )
        log_p = p.log().view(*tokens.shape, self.vocabulary)
        return log_p.to(self.uniform.device)

    def longest(self, tokens: Tensor) -> Tensor:
        """How many tokens, up to each of tokens (B, T), were seen in a row: (B, T)."""
        tokens = self._known(tokens)
        found = torch.zeros_like(tokens)
        for length, table in enumerate(self.tables):
            _, seen = table.find(self._codes(tokens, length).flatten())
            found[seen.view_as(found)] = length
        return found.to(self.uniform.device)


def copies(tokens: Tensor, vocabulary: int, most: int) -> tuple[Tensor, Tensor]:
    """What followed where the last tokens stood before: (B, T) -> (B, T, V) and (B, T).

    For each token: the longest run of tokens up to it, at most `most`, that also ends
    at an earlier token of its row, and its length; 0 if this token is new. Of all
    places with a run of this length, the shares of the tokens behind them. So does an
    induction head (Olsson et al. 2022, arXiv:2209.11895).
    """
    same = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)  # (B, T, T) an earlier j
    run, length = same, same.to(torch.int8)
    for _ in range(most - 1):  # the run before both, and these two
        run = same & F.pad(run, (1, 0, 1, 0))[:, :-1, :-1]
        length = length + run
    longest = length.amax(dim=2)  # (B, T)
    chosen = same & (length == longest[:, :, None])
    behind = tokens.roll(-1, dims=1)[:, None].expand_as(chosen)  # the token after j
    p = torch.zeros(*tokens.shape, vocabulary, device=tokens.device)
    p.scatter_add_(2, behind, chosen.float())
    return p / p.sum(dim=2, keepdim=True).clamp(min=1), longest.long()


class WithCounts(nn.Module):
    """A network, counts and copies together: (B, T) int64 -> logits (B, T, V).

    First log p = a log p_network + b log p_counts + const; then a share of what was
    copied. The shares a and b depend on how long a context the counts have seen, that
    of copies on the length of the run; most = 0 copies nothing. Klakow 1998, log-linear
    interpolation; Kuhn & De Mori 1990, a cache of recent words.
    """

    def __init__(self, network: nn.Module, counts: KneserNey, most: int = 8):
        super().__init__()
        self.network, self.counts, self.most = network, counts, most
        self.context = network.context
        self.shares = nn.Parameter(torch.tensor([0.7, 0.3]).repeat(counts.order + 1, 1))
        self.copied = nn.Parameter(torch.full((most + 1,), -3.0))  # before a sigmoid

    def forward(self, tokens: Tensor) -> Tensor:
        return self.mix(*self.experts(tokens))

    def experts(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """What `mix` puts together, none of which depends on the shares.

        Both log-probabilities (B, T, V, 2), the longest contexts seen (B, T), what was
        copied (B, T, V), and the lengths of the runs (B, T).
        """
        network = self.network(tokens).float().log_softmax(-1)
        both = torch.stack((network, self.counts(tokens)), dim=-1)
        found = copies(tokens, self.counts.vocabulary, max(self.most, 1))
        return both, self.counts.longest(tokens), *found

    def mix(self, both, longest, copied, length) -> Tensor:
        """The logits of all together."""
        logits = (both @ self.shares[longest][..., None])[..., 0]
        if not self.most:
            return logits
        share = torch.sigmoid(self.copied[length]) * (length > 0)
        p = torch.lerp(logits.softmax(dim=-1), copied, share[..., None])
        return p.clamp(min=1e-9).log()
