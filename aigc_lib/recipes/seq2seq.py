"""A Transformer that spells numbers: digits, English and Chinese, all six ways."""

import torch
from torch.nn import functional as F

from aigc_lib.data import numbers as task
from aigc_lib.evaluate.spelling import exact_match
from aigc_lib.models.transformer import Transformer
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH, MEASURED = 3_000, 96, 1_000
LEANS_ON = ()


def build() -> Transformer:
    """The untrained network."""
    return Transformer(len(task.VOCABULARY), width=96, heads=4, layers=2, dropout=0.0)


def load_data(own=None) -> Splits:
    """Numbers to train on; held-out ones of up to five digits, and of six."""
    if own is not None:
        raise ValueError(f"data {own}: this recipe makes its own numbers")
    training, held_out, longer = task.split()
    measured = (held_out[:MEASURED], longer[:MEASURED])
    return Splits((training,), measured, task.checksum())


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Cross-entropy of the next target token, by Adam as in the paper."""
    net = build()
    adam = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.98), fused=True)
    model, optimizer = accelerator.prepare(net, adam)

    def batches():
        while True:
            yield task.mixed(task.balanced(*splits.training, BATCH, rng))

    def update(batch):
        source, target = batch
        logits = model(source, target[:, :-1]).float()  # (B, T, V)
        wanted = target[:, 1:].flatten()
        loss = F.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=task.PAD)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        return {"loss": loss}

    return Job(net, {"model": net, "optimizer": optimizer}, batches(), update)


def metrics(model: Transformer, splits: Splits) -> dict[str, float]:
    """Exact match on held-out numbers and on a held-out length, each of six ways."""
    found = {}
    for name, numbers in zip(("held_out", "six_digits"), splits.held_out, strict=True):
        for kind, wanted in task.PAIRS:
            key = f"{name}_{kind}_to_{wanted}".lower()
            found[key] = exact_match(model, numbers, kind, wanted)
    return found
