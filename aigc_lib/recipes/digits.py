"""The recipe of the meter's digit classifier (chapter data)."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from aigc_lib import data
from aigc_lib.evaluate.samples import Features
from aigc_lib.fit import progress, warmup_cosine
from aigc_lib.models.classifier import DigitClassifier
from aigc_lib.recipes.checkpoint import SHIPPED, load_checkpoint
from aigc_lib.recipes.run import (
    accelerator,
    last_step,
    mean_over_processes,
    my_rows,
    resumable,
)

STEPS, BATCH, PEAK_LR = 6_000, 128, 2e-3
labelled = True


def build() -> DigitClassifier:
    """The untrained network."""
    return DigitClassifier()


@cache
def features() -> Features:
    """The meter's feature space: the shipped classifier's view of images."""
    classifier = build()
    load_checkpoint(classifier, SHIPPED / "digits.safetensors")
    return classifier.eval().describe


def train(
    *,
    state: Path,
    steps: int | None,
    seconds: float | None,
    seed: int,
    images: Tensor,
    labels: Tensor,
    identity: dict,
    resume: bool,
) -> tuple[DigitClassifier, int]:
    """Convolutional digit classifier, shifted digits as augmentation.

    Returns it and the steps done.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    accelerate = accelerator()
    classifier = build()
    optimizer = torch.optim.Adam(classifier.parameters())
    model, optimizer = accelerate.prepare(classifier, optimizer)
    used = progress(steps=steps, seconds=seconds)

    def stream():
        for step, (x, y) in enumerate(
            data.batches(images, labels, batch_size=BATCH, generator=generator)
        ):
            shift = torch.randint(-2, 3, (2,), generator=generator)
            yield step, torch.roll(x, shift.tolist(), dims=(2, 3)), y

    def update(batch):
        step, x, y = batch
        x, y = my_rows(x, accelerate), my_rows(y, accelerate)
        optimizer.param_groups[0]["lr"] = PEAK_LR * warmup_cosine(used(step))
        loss = F.cross_entropy(model(x).float(), y)
        optimizer.zero_grad()
        accelerate.backward(loss)
        optimizer.step()
        return mean_over_processes({"loss": loss}, accelerate)

    parts = {"model": classifier, "optimizer": optimizer}
    limits = {"steps": steps, "seconds": seconds, "resume": resume}
    done = last_step(
        resumable(
            update, stream(), parts, state, identity, **limits, accelerator=accelerate
        )
    )
    return classifier.eval(), done


def metrics(
    classifier: DigitClassifier,
    training: dict[str, Tensor],
    held_out: dict[str, Tensor],
) -> dict[str, float]:
    """Accuracy on held-out digits."""
    _, probabilities = classifier.describe(held_out["images"])
    return {
        "test_accuracy": float(
            (probabilities.argmax(1) == held_out["labels"]).float().mean()
        )
    }
