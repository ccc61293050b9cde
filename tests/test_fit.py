"""The training loop."""

import itertools
import time

import pytest
import torch

from aigc_lib.fit import fit

endless = lambda: itertools.repeat((torch.zeros(1),))  # noqa: E731


def test_steps_counts_from_one_and_stops():
    calls = []
    seen = [
        (step, logs["n"])
        for step, logs in fit(lambda b: {"n": torch.tensor(calls.append(b) or len(calls))}, endless(), steps=3)
    ]
    assert seen == [(1, 1.0), (2, 2.0), (3, 3.0)] and len(calls) == 3


def test_seconds_stops_after_the_time():
    start = time.perf_counter()
    steps = [step for step, _ in fit(lambda b: time.sleep(0.01) or {}, endless(), seconds=0.2)]
    assert 0.2 <= time.perf_counter() - start < 2 and len(steps) > 1


def test_the_caller_may_stop_early():
    for step, _ in fit(lambda b: {}, endless(), steps=10**9):
        if step == 4:
            break
    assert step == 4


def test_a_loss_that_is_not_finite_stops_the_run():
    losses = iter([1.0, 2.0, float("nan"), 1.0])
    with pytest.raises(FloatingPointError, match="nll is nan at step 3"):
        for _ in fit(lambda b: {"nll": torch.tensor(next(losses))}, endless(), steps=4):
            pass


@pytest.mark.parametrize("limits", [{}, {"steps": 3, "seconds": 1.0}, {"steps": 0}, {"seconds": -1.0}])
def test_bad_limits_are_refused_before_the_first_step(limits):
    with pytest.raises(ValueError, match="expected"):
        fit(lambda b: {}, endless(), **limits)
