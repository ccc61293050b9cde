"""A small BERT on the quatrains of gpt_tang: it fills gaps, by what stands around."""

import torch
import torch.nn.functional as F

from aigc_lib import data, evaluate
from aigc_lib.models.bert import Bert
from aigc_lib.training.muon import Muon
from aigc_lib.training.poems import LONGEST, quatrains
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, BATCH = 2_400, 64
LEANS_ON = ()


def build(characters: str) -> Bert:
    """The untrained network for poems of these characters."""
    model = Bert(len(characters), LONGEST, width=160, layers=3, dropout=0.2)
    model.characters = characters
    return model


def load_data(own=None) -> Splits:
    """Rows (N, 32): a poem with its marks, then padding; the same poems are held out.

    The tokens 0, 1, 2 are padding and the two marks; gaps are made from 3 on.
    """
    whole = quatrains(own)
    parts = ((whole.training[0][:, 1:-1],), (whole.held_out[0][:, 1:-1],))
    return Splits(*parts, whole.sha256, whole.characters)


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Cross-entropy of the chosen characters; Muon for the encoder's matrices."""
    net, v = build(splits.characters), len(splits.characters)
    matrices = [p for p in net.encoder.parameters() if p.ndim == 2]
    rest = [p for p in net.parameters() if all(p is not m for m in matrices)]
    muon, adam = Muon(matrices, lr=0.02), torch.optim.Adam(rest, 3e-3, (0.9, 0.95))
    model, muon, adam = accelerator.prepare(net, muon, adam)
    poems = data.batches(*splits.training, batch_size=BATCH, generator=rng)
    batches = ((rows, *data.hide(rows, v, rng)) for (rows,) in poems)

    def update(batch):
        rows, gaps, chosen = batch
        loss = F.cross_entropy(model(gaps, chosen).float(), rows[chosen])
        net.zero_grad()
        accelerator.backward(loss)
        muon.step()
        adam.step()
        return {"loss": loss}

    parts = {"model": net, "muon": muon, "adam": adam}
    return Job(net, parts, batches, update, build={"characters": splits.characters})


def metrics(model: Bert, splits: Splits) -> dict[str, float]:
    """Nats and right guesses at fixed gaps, for each held-out character once."""
    found = evaluate.masked_loss(model, *splits.held_out)
    return {"masked_loss": found["loss"], "masked_accuracy": found["accuracy"]}
