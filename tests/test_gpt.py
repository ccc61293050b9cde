"""GPT: shapes, laws, the cache, decoding, and what bad input looks like."""

import math
from functools import partial

import pytest
import torch

from aigc_lib import data, evaluate, losses, recipes, show
from aigc_lib.models.gpt import GPT, attend
from aigc_lib.models.gpt_fast import FastGPT
from aigc_lib.nn.attention import attention, causal_mask
from aigc_lib.nn.kv_cache import by_columns
from aigc_lib.sample import generate, text
from aigc_lib.training.language import inputs_and_targets, pieces
from aigc_lib.training.muon import Muon, orthogonalise
from aigc_lib.training.run import accelerate
from aigc_lib.training.splits import Splits

SIZES = {"vocabulary": 17, "context": 12, "layers": 2, "heads": 2, "width": 16}
BUILD = {
    "gpt": partial(GPT, **SIZES),
    "fast": partial(FastGPT, **SIZES, pairs=17**2),
    "fast, shared pairs": partial(FastGPT, **SIZES, pairs=7),
    "fast, no pairs": partial(FastGPT, **SIZES),
    "fast, short convolutions": partial(FastGPT, **SIZES, pairs=17**2, taps=2),
}
models = pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)


def trained(build):
    """A model whose weights are all in use: an untrained fast one answers 0 to everything."""
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


@models
def test_shapes_and_finite_gradients_for_every_parameter(build):
    model, tokens = trained(build), torch.randint(17, (3, 13))
    logits = model(tokens[:, :-1])
    assert logits.shape == (3, 12, 17)
    losses.next_token_loss(logits, tokens[:, 1:]).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad.abs().sum() > 0, name


@models
def test_an_untrained_model_knows_nothing(build):
    torch.manual_seed(0)
    tokens = torch.randint(17, (20, 12))
    loss = losses.next_token_loss(build()(tokens), tokens.roll(-1, 1))
    assert loss.item() == pytest.approx(math.log(17), rel=0.02)


@models
def test_a_changed_future_token_leaves_past_logits_alone(build):
    model, tokens = trained(build), torch.randint(17, (2, 12))
    changed = tokens.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 17
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(-1).all()  # and does reach all that follow


@models
def test_the_cache_changes_no_token(build):
    model = trained(build)
    prompt = torch.randint(17, (3, 4))

    def written(cached):
        return generate(model, prompt, 40, generator=torch.Generator().manual_seed(1), cached=cached)

    texts = [written(cached=True), written(cached=False)]
    assert texts[0].shape == (3, 44)  # longer than the context: the window has moved
    assert torch.equal(*texts)


@models
def test_weights_by_columns_are_the_same_numbers(build):
    model, tokens = trained(build), torch.randint(17, (1, 9))
    before, logits = {k: v.clone() for k, v in model.state_dict().items()}, model(tokens)
    assert by_columns(model).blocks[0].mlp.hidden.weight.stride() == (1, model.blocks[0].mlp.hidden.out_features)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
    torch.testing.assert_close(model(tokens), logits)


@models
def test_pieces_through_the_cache_give_the_logits_of_the_whole(build):
    model, tokens = trained(build), torch.randint(17, (3, 12))
    cache = model.new_cache(3)
    with torch.no_grad():
        parts = torch.cat([model(piece, cache) for piece in tokens.split([5, 1, 4, 2], dim=1)], dim=1)
        torch.testing.assert_close(parts, model(tokens))
        torch.testing.assert_close(model.next_logits(tokens), model(tokens)[:, -1])


@models
def test_overfits_one_batch(build):
    torch.manual_seed(0)
    model, tokens = build(), torch.randint(17, (2, 13))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = losses.next_token_loss(model(tokens[:, :-1]), tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_gpt2_has_as_many_parameters_as_its_paper_says():
    with torch.device("meta"):
        gpt2 = GPT(50257, 1024, layers=12, heads=12, width=768)
    assert sum(p.numel() for p in gpt2.parameters()) == 124_439_808


def test_attention_is_that_of_the_attention_chapter():
    for t, s in [(5, 5), (1, 7), (3, 7)]:
        q, k, v = torch.randn(2, 3, t, 8), torch.randn(2, 3, s, 8), torch.randn(2, 3, s, 8)
        expected = attention(q, k, v, causal_mask(s)[s - t :])[0]
        torch.testing.assert_close(attend(q, k, v), expected)


def test_tied_weights_are_one_table():
    model = GPT(**SIZES)
    assert model.head.weight is model.token.weight
    out = model.blocks[0].mlp.out.weight.std().item()
    assert out == pytest.approx(0.02 / math.sqrt(4), rel=0.1)


def test_decoding_on_a_distribution_one_can_check_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.15, 0.1]])
    logits = p.log()
    tokens = torch.tensor([[0, 0]])
    cases = [
        ((1.0, 0, 0, 0), text.greedy(logits)),
        ((2 / 3, 1 / 3, 0, 0), text.top_k(logits, 2)),
        ((5 / 9, 2.5 / 9, 1.5 / 9, 0), text.top_p(logits, 0.8)),
        ((1.0, 0, 0, 0), text.top_p(logits, 0.5)),
        ((2 / 3, 1 / 3, 0, 0), text.min_p(logits, 0.4)),
    ]
    for expected, found in cases:
        torch.testing.assert_close(found.softmax(-1), torch.tensor([expected]))
    hot = text.temperature(logits, 0.5).softmax(-1)
    torch.testing.assert_close(hot, p**2 / (p**2).sum())
    punished = text.repetition_penalty(torch.tensor([[2.0, -1.0]]), tokens, 2.0)
    assert punished.tolist() == [[1.0, -1.0]]
    assert torch.equal(logits, p.log())  # the functions are pure


def test_draws_follow_the_probabilities():
    p = torch.tensor([0.5, 0.3, 0.2])
    drawn = text.draw(p.log().expand(20_000, 3), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.bincount() / 20_000, p, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m(torch.zeros(1, 13, dtype=torch.long)), "13 tokens: expected at most 12"),
        (lambda m: m(torch.zeros(5, dtype=torch.long)), r"shape \(5,\): expected \(B, T\)"),
        (lambda m: generate(m, torch.zeros(1, 13, dtype=torch.long), 1), r"\(1, 13\).*1 to 12"),
        (lambda m: generate(m, torch.zeros(1, 0, dtype=torch.long), 1), r"\(1, 0\)"),
        (lambda m: losses.next_token_loss(torch.zeros(1, 4, 3), torch.zeros(1, 3)), r"\(1, 4, 3\).*\(1, 3\)"),
        (lambda m: evaluate.text_loss(m, torch.zeros(12, dtype=torch.long), 12), "12 tokens: expected more than 12"),
        (lambda m: next(data.windows(torch.zeros(12), 13, 2)), "expected at least 13"),
        (lambda m: text.temperature(torch.zeros(1, 3), 0), "temperature 0"),
        (lambda m: text.top_k(torch.zeros(1, 3), 4), "k=4: expected 1 to 3"),
        (lambda m: text.top_p(torch.zeros(1, 3), 0), "p=0"),
        (lambda m: text.min_p(torch.zeros(1, 3), 1.5), "share=1.5"),
        (lambda m: text.repetition_penalty(torch.zeros(1, 3), torch.zeros(1, 1).long(), 0), "penalty 0"),
        (lambda m: GPT(5, width=10, heads=4), "width 10"),
        (lambda m: Muon([torch.nn.Parameter(torch.zeros(3))]), r"shape \(3,\): expected matrices"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(GPT(**SIZES))


def test_the_loss_of_a_text_is_that_of_its_pieces():
    model, ids = trained(BUILD["gpt"]), torch.randint(17, (61,))
    found = evaluate.text_loss(model, ids, 12, batch_size=2)
    pieces = [ids[None, i : i + 13] for i in range(0, 60, 12)]
    with torch.no_grad():
        nats = [losses.next_token_loss(model(piece[:, :-1]), piece[:, 1:]) for piece in pieces]
    assert found["loss"] == pytest.approx(torch.stack(nats).mean().item()) and found["n"] == 60
    assert found["bits"] == pytest.approx(math.log2(found["perplexity"]))


def test_a_pass_draws_every_piece_of_a_text_once():
    ids = torch.arange(5 * 9 + 3)  # 9 contexts of 5 tokens, wherever in the first one a pass begins
    batches = pieces(Splits((ids,), (ids,), ""), 5, 2, torch.Generator().manual_seed(0))
    starts = []
    for _ in range(4):  # a pass of 8 or 9 pieces has 4 whole batches
        (rows,) = next(batches)
        assert rows.shape == (2, 6) and torch.equal(rows, rows[:, :1] + torch.arange(6))
        starts += rows[:, 0].tolist()
    assert len(set(starts)) == 8 and len({start % 5 for start in starts}) == 1
    firsts = {int(next(batches)[0][0, 0]) % 5 for _ in range(40)}
    assert firsts == set(range(5))  # each pass cuts the text at another place
    with pytest.raises(ValueError, match="47 tokens to train on: expected at least 50"):
        pieces(Splits((ids[:47],), (ids,), ""), 5, 9, torch.Generator())


def test_rows_are_cut_into_parts_that_keep_their_targets():
    rows = torch.arange(26).view(2, 13)
    inputs, targets = inputs_and_targets(rows, 4)
    assert inputs.shape == targets.shape == (6, 4) and torch.equal(targets, inputs + 1)
    assert torch.equal(inputs.flatten(), rows[:, :-1].flatten())
    for whole in (inputs_and_targets(rows), inputs_and_targets(rows, 99)):
        assert torch.equal(whole[0], rows[:, :-1]) and torch.equal(whole[1], rows[:, 1:])


def test_pieces_grow_as_the_learning_rate_falls(monkeypatch):
    recipe, seen = recipes.recipe("gpt"), []
    ids = torch.randint(5, (8000,))
    monkeypatch.setattr(FastGPT, "forward", spy(FastGPT.forward, seen))
    job = recipe.prepare(Splits((ids,), (ids,), "", "abcde"), accelerate(), torch.Generator().manual_seed(0))
    for share, shape in [(1.0, (48, 64)), (0.5, (24, 128)), (0.1, (12, 256))]:
        job.parts["muon"].param_groups[0]["lr"] = share * recipe.TRAINING["muon_lr"]
        job.update(next(iter(job.batches)))
        assert seen[-1] == shape


def spy(forward, seen):
    """`forward`, which notes the shape of the tokens."""

    def noted(self, tokens, cache=None):
        seen.append(tuple(tokens.shape))
        return forward(self, tokens, cache)

    return noted


def test_orthogonalised_matrices_have_singular_values_near_one():
    for shape in [(2, 16, 16), (2, 8, 32), (2, 32, 8)]:
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
        assert values.max() < 1.3 and values.median() > 0.6


def test_a_text_of_ones_own(tmp_path):
    """`recipes train gpt --text FILE`: a checkpoint that knows its characters, its loss, and samples."""
    own = tmp_path / "own.txt"
    own.write_text("春眠不觉晓，处处闻啼鸟。\n" * 400, encoding="utf-8")
    path = recipes.train("gpt", tmp_path / "out", steps=2, text=own)
    model = recipes.load("gpt", tmp_path / "out")
    assert set(model.characters) == set(own.read_text(encoding="utf-8"))
    card = recipes.card("gpt", tmp_path / "out")
    assert card["metrics"]["val_loss"] < math.log(13) and card["build"]["characters"] == model.characters
    assert set(path.with_suffix(".txt").read_text(encoding="utf-8")) <= set(model.characters)
    said, found = recipes.verify("gpt", tmp_path / "out", text=own)
    assert {k for k in said if not recipes.agree(said[k], found[k])} == set()


@pytest.mark.parametrize(
    "content, message",
    [(b"", "empty"), (b"abc", "expected at least"), (b"\xff" * 5000, "UTF-8")],
)
def test_texts_that_cannot_be_used(tmp_path, content, message):
    own = tmp_path / "own.txt"
    own.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        recipes.train("gpt", tmp_path, steps=1, text=own)


def test_probabilities_are_shown_as_numbers_and_escaped():
    page = show.probabilities(["<", "\n", "a"], [0.25, 1.0, 0.001]).data
    assert "&lt;<br>" in page and ">25<" in page and ">100<" in page and ">&lt;1<" in page and "↵" in page
    for texts, p in ([], []), (["a"], [0.5, 0.5]), (["a"], [0.0]), (["a"], [float("nan")]):
        with pytest.raises(ValueError, match="expected"):
            show.probabilities(texts, p)


def test_weight_decay_shrinks_what_muon_steps():
    a, b = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    for p, decay in ((a, 0.0), (b, 0.5)):
        p.grad = torch.eye(4)
        Muon([p], lr=0.1, weight_decay=decay).step()
    torch.testing.assert_close(a - b, torch.full((4, 4), 0.05))
