"""How fast a GPT-2 of 124 million parameters writes: with a cache, without, and in the library transformers.

    python tools/bench/decoding.py

The weights are random: nothing is downloaded. Ratios are of processor time, each pair in one run of this script.
"""

import json
import time
from collections.abc import Callable

import torch
import transformers
from run import provenance, save

from aigc_lib.models.gpt import GPT
from aigc_lib.nn.kv_cache import by_columns
from aigc_lib.sample import generate, text


def greedy(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return text.greedy(logits)


def seconds(write: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Processor time of a call, and the text it wrote."""
    start = time.process_time()
    written = write()
    return time.process_time() - start, written


def with_and_without_cache(model: GPT, length: int = 512, tokens: int = 6) -> dict:
    """Per token at the end of a text of `length`: from the cache, and with all tokens read again."""
    prompt = torch.randint(50257, (1, length))
    cache = model.new_cache(1, length + tokens)
    with torch.no_grad():
        model.next_logits(prompt, cache)
    found = {"cached": 0.0, "recomputed": 0.0}
    written = prompt
    for _ in range(tokens):
        new = torch.randint(50257, (1, 1))
        written = torch.cat((written, new), dim=1)
        with torch.no_grad():
            took, a = seconds(lambda new=new: model.next_logits(new, cache))
            found["cached"] += took / tokens
            took, b = seconds(lambda written=written: model.next_logits(written))
            found["recomputed"] += took / tokens
        assert (a - b).abs().max() < 1e-3 and a.argmax() == b.argmax()
    return {"length": length, **found, "ratio": found["recomputed"] / found["cached"]}


def against_transformers(theirs: torch.nn.Module, model: GPT, tokens: int = 64, rounds: int = 3) -> dict:
    """Seconds for a greedy text of `tokens` after a prompt of 16, the best of some rounds in turn."""
    prompt = torch.randint(50257, (1, 16))
    config = dict(max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
    best = {"ours": float("inf"), "transformers": float("inf")}
    for _ in range(rounds):
        took, a = seconds(lambda: generate(model, prompt, tokens, warp=greedy))
        best["ours"] = min(best["ours"], took)
        took, b = seconds(lambda: theirs.generate(prompt, **config))
        best["transformers"] = min(best["transformers"], took)
    same = torch.equal(a, b)
    return {"tokens": tokens, **best, "ratio": best["transformers"] / best["ours"], "same text": same}


def main() -> None:
    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    model = by_columns(GPT.from_transformers(theirs))
    found = {"cache": with_and_without_cache(model), "transformers": against_transformers(theirs, model)}
    print(json.dumps(found, indent=1))
    save("decoding", provenance() | found)


if __name__ == "__main__":
    main()
