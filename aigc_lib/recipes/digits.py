"""The meter's digit classifier: two convolutions, shifted digits as augmentation."""

from functools import cache

import torch
from torch.nn import functional as F

from aigc_lib import data
from aigc_lib.evaluate.samples import Features
from aigc_lib.models.classifier import DigitClassifier
from aigc_lib.recipes import SHIPPED
from aigc_lib.training.checkpoint import load_checkpoint
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits, labelled_digits

STEPS, BATCH = 6_000, 128
LEANS_ON = ()
load_data = labelled_digits


def build() -> DigitClassifier:
    """The untrained network."""
    return DigitClassifier()


@cache
def features() -> Features:
    """The meter's feature space: the shipped classifier's view of images."""
    classifier = build()
    load_checkpoint(classifier, SHIPPED / "digits.safetensors")
    return classifier.eval().describe


def prepare(splits: Splits, accelerator, rng: torch.Generator) -> Job:
    """Cross-entropy by Adam; each batch is shifted by up to two pixels."""
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    model, optimizer = accelerator.prepare(net, optimizer)

    def batches():
        for x, y in data.batches(*splits.training, batch_size=BATCH, generator=rng):
            shift = torch.randint(-2, 3, (2,), generator=rng)
            yield torch.roll(x, shift.tolist(), dims=(2, 3)), y

    def update(batch):
        x, y = batch
        loss = F.cross_entropy(model(x).float(), y)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        return {"loss": loss}

    return Job(net, {"model": net, "optimizer": optimizer}, batches(), update)


def metrics(classifier: DigitClassifier, splits: Splits) -> dict[str, float]:
    """Accuracy on held-out digits."""
    images, labels = splits.held_out
    _, probabilities = classifier.describe(images)
    return {"test_accuracy": (probabilities.argmax(1) == labels).float().mean().item()}
