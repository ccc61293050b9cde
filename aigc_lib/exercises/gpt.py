"""Checks for the exercises of the GPT chapter."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises.verdict import (
    Wrong,
    call,
    compare,
    exercise,
    expect_shape,
    same,
)

__all__ = [
    "attend",
    "bits_per_character",
    "discounted",
    "next_token_loss",
    "parameters",
    "repetition_penalty",
    "top_p",
]


@exercise
def next_token_loss(answer):
    """answer(logits, tokens): (B, T, V), (B, T) -> (), nats per predicted token."""
    for b, t, v in [(2, 5, 7), (1, 2, 3), (3, 7, 7)]:
        logits, tokens = 3 * torch.randn(b, t, v), torch.randint(v, (b, t))
        got = call(answer, logits, tokens)
        expect_shape(got, (), "one number: the mean over all predictions")
        p = logits.log_softmax(-1)
        chosen = p[:, :-1].gather(-1, tokens[:, 1:, None])
        if same(got, -chosen.mean()):
            continue
        if same(got, -p.gather(-1, tokens[..., None]).mean()):
            raise Wrong(
                "You compare the logits at t with the token at t, which the model has "
                "read: position t predicts token t + 1."
            )
        if same(got, -p[:, 1:].gather(-1, tokens[:, :-1, None]).mean()):
            raise Wrong("You shift the wrong way: this predicts the token before.")
        if same(got, -chosen.sum()) or same(got, -chosen.sum() / b):
            raise Wrong("You sum over the tokens: take the mean over all predictions.")
        if same(got, chosen.mean()):
            raise Wrong("The sign is the other way round: a loss is made small.")
        rolled = -p.gather(-1, tokens.roll(-1, 1)[..., None]).mean()
        if same(got, rolled):
            raise Wrong(
                "Your last position predicts the first token: roll goes round in a "
                "circle. What comes after the last token is not known."
            )
        raise Wrong("The value is off. Of T positions, T - 1 have a next token.")
    return "T tokens give T - 1 predictions, all in one pass."


@exercise
def attend(answer):
    """answer(q, k, v): (B, nh, T, hs), twice (B, nh, S, hs) -> (B, nh, T, hs)."""
    for b, nh, t, s, hs in [(2, 2, 4, 4, 8), (1, 2, 1, 5, 4), (2, 1, 3, 7, 4)]:
        q, k, v = (torch.randn(b, nh, n, hs) for n in (t, s, s))
        got = call(answer, q, k, v)
        expect_shape(got, (b, nh, t, hs), "one result for each query")
        future = torch.ones(t, s, dtype=torch.bool).triu(s - t + 1)
        true = F.scaled_dot_product_attention(q, k, v, ~future)
        if same(got, true):
            continue
        if same(got, F.scaled_dot_product_attention(q, k, v)):
            raise Wrong("Your queries see the future: mask the tokens after each one.")
        early = F.scaled_dot_product_attention(
            q, k, v, ~torch.ones(t, s).triu(1).bool()
        )
        if t < s and same(got, early):
            raise Wrong(
                "Your mask takes the queries for the first of the S tokens: "
                "they are the last."
            )
        if same(got, F.scaled_dot_product_attention(q, k, v, ~future, scale=1.0)):
            raise Wrong("Divide the scores by the square root of the head size.")
        if not torch.isfinite(got).all():
            raise Wrong(
                "Some values are not finite: each query must see at least itself."
            )
        raise Wrong(
            "The value is off. Is the softmax over the keys, the last dimension, and "
            "does query i stand at place S - T + i?"
        )
    return "With T = 1 it is what the cache needs, with T = S what training needs."


@exercise
def top_p(answer):
    """answer(logits, p): (B, V), float -> (B, V), -inf outside the nucleus."""
    for b, v, p in [(3, 6, 0.8), (2, 9, 0.5), (1, 5, 0.01), (4, 8, 1.0)]:
        logits = 2 * torch.randn(b, v)
        got = call(answer, logits, p)
        expect_shape(got, (b, v), "logits for the same vocabulary")
        ranked, order = logits.softmax(-1).sort(descending=True)
        before = ranked.cumsum(-1) - ranked
        true = logits.masked_fill(
            (before >= p).scatter(-1, order, before >= p), -math.inf
        )
        if same(got, true):
            continue
        through = ranked.cumsum(-1) > p
        tight = logits.masked_fill(through.scatter(-1, order, through), -math.inf)
        if same(got, tight):
            raise Wrong(
                "You drop the token with which the sum reaches p: it belongs to the "
                "nucleus. Otherwise a very probable first token leaves nothing."
            )
        if same(got, logits.masked_fill(before >= p, -math.inf)):
            raise Wrong(
                "Your mask is in the order of rank: bring it back to the order of the "
                "vocabulary (scatter)."
            )
        kept = torch.isfinite(got) if not got.isnan().any() else None
        if kept is not None and torch.equal(kept, torch.isfinite(true)):
            raise Wrong(
                "The right tokens stay, but their logits must stay as they are."
            )
        if not torch.isinf(got).any() and p < 1:
            raise Wrong("No logit is -inf: tokens outside the nucleus are impossible.")
        raise Wrong("Other tokens stay than should. Rank by probability, not by index.")
    return "The nucleus is small where the model is sure and large where it is not."


@exercise
def repetition_penalty(answer):
    """answer(logits, tokens, penalty): (B, V), (B, S), float -> (B, V)."""
    for b, v, s, penalty in [(2, 6, 4, 1.5), (1, 5, 9, 2.0), (3, 4, 1, 1.2)]:
        logits, tokens = 2 * torch.randn(b, v), torch.randint(v, (b, s))
        got = call(answer, logits, tokens, penalty)
        expect_shape(got, (b, v), "logits for the same vocabulary")
        seen = torch.zeros(b, v, dtype=torch.bool).scatter(1, tokens, True)
        lower = torch.where(logits > 0, logits / penalty, logits * penalty)
        if same(got, torch.where(seen, lower, logits)):
            continue
        if same(got, torch.where(seen, logits / penalty, logits)):
            raise Wrong(
                "Dividing a negative logit makes it larger: that is a reward. Multiply "
                "those."
            )
        if same(got, lower):
            raise Wrong("You punish all tokens: only those that stand in the text.")
        if same(got, torch.where(~seen, lower, logits)):
            raise Wrong("You punish the tokens that do not stand in the text.")
        if b > 1 and same(got, torch.where(seen.any(0), lower, logits)):
            raise Wrong("Each row has its own text: do not mix the rows.")
        raise Wrong(
            "The value is off. A token that stands in the text twice is punished once."
        )
    return "It is crude: it also punishes spaces, which have to come back."


def _discounted(counts, lower, d):
    n, m = counts.sum(1, keepdim=True), (counts > 0).sum(1, keepdim=True)
    p = ((counts - d).clamp(min=0) + d * m * lower) / n.clamp(min=1)
    return torch.where(n > 0, p, lower)


@exercise
def discounted(answer):
    """answer(counts, lower, D): (V, V), (V,), float -> (V, V), rows summing to 1."""
    for v, d in [(5, 0.7), (3, 1.0), (8, 0.25)]:
        counts = torch.randint(-3, 4, (v, v)).clamp(min=0).float()
        counts[0], counts[1:, 0] = 0, 3  # token 0 as a context was never seen
        lower = torch.rand(v).softmax(0)
        got, true = call(answer, counts, lower, d), _discounted(counts, lower, d)
        expect_shape(got, (v, v), "a row of V probabilities for each context")
        if same(got, true):
            continue
        if same(got[1:], true[1:]) or not torch.isfinite(got[0]).all():
            raise Wrong("A context never seen has n(c) = 0: `lower` alone tells p.")
        if (got < 0).any():
            raise Wrong("Some are negative: a count of 0 has nothing to give.")
        kept = _discounted(counts, 0 * lower, d)
        one = kept + d / counts.sum(1, keepdim=True) * lower
        slips = [
            (kept, "What the discounts took is missing: it goes to `lower`."),
            (one, "All m(c) tokens after c gave D each: you share out one D only."),
            (_discounted(counts, 1 / v, d), "Do not share equally: as `lower` says."),
            (_discounted(counts.T, lower, d), "The context is the row of `counts`."),
        ]
        otherwise = "Each count above 0 gives D, and n(c), the row's sum, divides all."
        pairs = [(value[1:], hint) for value, hint in slips]
        compare(got[1:], true[1:], pairs, otherwise)
    return "In the library D depends on the count, and `lower` is such a table again."


@exercise
def bits_per_character(answer):
    """answer(nats, tokens, characters): nats per token (), two counts -> ()."""
    for tokens, characters in [(1000, 1000), (250, 1000), (1000, 400)]:
        nats = torch.rand(()) + 1
        got = call(answer, nats, tokens, characters)
        expect_shape(got, (), "one number")
        true = nats * tokens / characters / math.log(2)
        if same(got, true):
            continue
        if same(got, nats / math.log(2)):
            raise Wrong(
                "That is bits per token: a token may be several characters, or less "
                "than one."
            )
        if same(got, true * math.log(2)):
            raise Wrong("That is in nats: one bit is log 2 nats.")
        if same(got, true * math.log(2) ** 2):
            raise Wrong("A bit is log 2 = 0.69 nats, so there are more bits than nats.")
        if same(got, nats * characters / tokens / math.log(2)):
            raise Wrong("The counts are swapped: total nats first, then per character.")
        if same(got, nats.exp()):
            raise Wrong("That is the perplexity per token.")
        raise Wrong("The value is off. First the nats of the whole text, then divide.")
    return "This number compares models with different tokenizers; perplexity does not."


@exercise
def parameters(answer):
    """answer(V, T, L, C): four whole numbers -> (), the parameters of a GPT."""
    for v, t, layers, c in [(65, 64, 4, 128), (11, 8, 1, 16), (50257, 1024, 12, 768)]:
        got = call(answer, v, t, layers, c)
        if got.ndim == 0 and not got.is_floating_point():
            got = got.double()
        expect_shape(got, (), "one number, as a tensor")
        block = 12 * c * c + 13 * c
        true = v * c + t * c + layers * block + 2 * c
        found = round(got.double().item())
        if found == true:
            continue
        mistakes = {
            true + v * c: "You count the head: its weights are the token embedding.",
            true - t * c: "The position embedding is missing.",
            true - 2 * c: "The norm before the head is missing: 2 C parameters.",
            true - v * c: "The token embedding is missing.",
            true - layers * 4 * c: "Each block has two norms, of 2 C parameters each.",
            true - layers * 9 * c: "The linear layers of a block have biases: 9 C.",
        }
        if found in mistakes:
            raise Wrong(mistakes[found])
        raise Wrong(
            f"For V={v}, T={t}, L={layers}, C={c} you count {found:,}. In a block: "
            "C to 3C, C to C, C to 4C, 4C to C, and two norms."
        )
    return "The last size was GPT-2's: 124,439,808."
