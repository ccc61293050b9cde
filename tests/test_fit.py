"""The training loop."""

import itertools
import math
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


@pytest.mark.parametrize(
    "limits, message",
    [
        ({}, "steps=None, seconds=None: expected exactly one"),
        ({"steps": 3, "seconds": 1.0}, "expected exactly one"),
        ({"steps": 0}, "steps=0: expected a whole number"),
        ({"steps": 2.5}, "steps=2.5: expected a whole number"),  # no step equals it: the run would never end
        ({"seconds": -1.0}, "seconds=-1.0: expected a finite number"),
        ({"seconds": math.inf}, "seconds=inf: expected a finite number"),
        ({"seconds": math.nan}, "seconds=nan: expected a finite number"),
    ],
)
def test_bad_limits_are_refused_before_the_first_step(limits, message):
    with pytest.raises(ValueError, match=message):
        fit(lambda b: {}, endless(), **limits)


@pytest.mark.parametrize("limits", [{"steps": 10}, {"seconds": 100.0}])
def test_batches_that_run_out_do_not_end_like_a_finished_run(limits):
    seen = []
    with pytest.raises(ValueError, match=f"only 3 batches came: expected enough for {[*limits][0]}=10"):
        for step, _ in fit(lambda b: {}, [(1,)] * 3, **limits):
            seen.append(step)
    assert seen == [1, 2, 3]
    assert [step for step, _ in fit(lambda b: {}, [(1,)] * 3, steps=3)] == [1, 2, 3]  # just enough
