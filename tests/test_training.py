"""What recipes share: schedule, state, the loop that survives an interruption."""

import random
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from aigc_lib.training import checkpoint, files
from aigc_lib.training.interrupt import one_more_step
from aigc_lib.training.run import Job, check_limits, run
from aigc_lib.training.schedule import progress, scheduler, warmup_cosine
from aigc_lib.training.splits import Splits
from aigc_lib.training.state import load_state, save_state


class Tied(nn.Module):
    """Dropout between two layers that share a weight, and a count of the updates."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("halves", torch.zeros(2))

    def forward(self, x):
        return self.second(self.dropout(self.first(x)))


def toy(interrupt=None):
    """A recipe whose update has two halves; `interrupt(step)` is called between them."""

    def prepare(splits, accelerator, rng):
        model = Tied()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

        def update(batch):
            step, x = batch
            model.halves[0] += 1
            loss = model(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            if interrupt:
                interrupt(step)
            optimizer.step()
            model.halves[1] += 1
            return {"loss": loss}

        batches = ((step, torch.randn(8, 4, generator=rng)) for step in range(1, 100))
        return Job(model, {"model": model, "optimizer": optimizer}, batches, update)

    return SimpleNamespace(prepare=prepare, metrics=lambda model, splits: {})


@pytest.fixture(autouse=True)
def python_handles_ctrl_c():
    """Also where the tests run as a background job, which ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


NOTHING = Splits((), (), "none")


def press(*steps):
    """A function that presses Ctrl-C at these steps."""
    return lambda step, *_: signal.raise_signal(signal.SIGINT) if step in steps else None


def test_ctrl_c_within_an_update_resumes_to_the_same_weights_dropout_included(tmp_path):
    whole = load_file(run(toy(), NOTHING, tmp_path / "whole.safetensors", steps=8))
    path = tmp_path / "cut.safetensors"
    with pytest.raises(KeyboardInterrupt, match="--resume goes on after step 5"):
        run(toy(press(5)), NOTHING, path, steps=8)
    saved = load_file(tmp_path / "cut.state.safetensors")
    assert saved["model/halves"].tolist() == [5, 5]  # the step was finished
    torch.rand(7)  # the global generator has moved since
    resumed = load_file(run(toy(), NOTHING, path, steps=8, resume=True))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert not (tmp_path / "cut.state.safetensors").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once_and_saves_no_half_update(tmp_path):
    def twice(step):
        if step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(toy(twice), NOTHING, tmp_path / "toy.safetensors", steps=8, save_every=2)
    assert load_file(tmp_path / "toy.state.safetensors")["model/halves"].tolist() == [4, 4]


def test_by_seconds_there_is_no_state_and_nothing_is_promised(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop:
        run(toy(press(3)), NOTHING, tmp_path / "toy.safetensors", seconds=60, save_every=1)
    assert str(stop.value) == "" and list(tmp_path.iterdir()) == []


def test_a_run_stopped_in_its_metrics_goes_on_with_them(tmp_path):
    path, recipe = tmp_path / "toy.safetensors", toy()
    whole = load_file(run(recipe, NOTHING, path, steps=3))

    def stopped(model, splits):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SimpleNamespace(prepare=recipe.prepare, metrics=stopped), NOTHING, path, steps=3)
    resumed = run(recipe, NOTHING, path, steps=3, resume=True, watch=lambda *_: pytest.fail("trained again"))
    assert all(torch.equal(whole[key], tensor) for key, tensor in load_file(resumed).items())
    assert checkpoint.read_card(path)["steps"] == 3


def test_signals_of_others_are_left_alone():
    def theirs(number, frame):
        pass

    signal.signal(signal.SIGINT, theirs)
    with one_more_step() as interrupted:
        assert signal.getsignal(signal.SIGINT) is theirs
        signal.raise_signal(signal.SIGINT)
        assert not interrupted()


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path):
    model = Tied()
    path = checkpoint.save_checkpoint(model, {"recipe": "toy"}, tmp_path / "toy.safetensors")
    assert sorted(load_file(path)) == ["first.bias", "first.weight", "halves", "second.bias"]
    other = Tied()
    assert checkpoint.load_checkpoint(other, path) == {"recipe": "toy"}
    torch.testing.assert_close(other.second.weight, model.first.weight, rtol=1e-3, atol=1e-3)
    assert other.second.weight is other.first.weight
    save_state({"model": model}, path, {}, 1)
    assert "model/first.weight" in load_file(path) and "model/second.weight" not in load_file(path)
    assert load_state({"model": other}, path, {}) == 1 and torch.equal(other.second.weight, model.first.weight)


def parts(seed):
    """A convolution in channels_last after a step of a fused Adam."""
    torch.manual_seed(seed)
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    model(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer}


def test_a_state_is_put_back_in_the_layout_of_the_parameter(tmp_path):
    trained, path = parts(0), tmp_path / "state"
    save_state(trained, path, {}, 1)
    for fresh in (parts(1), {"model": (m := parts(2)["model"]), "optimizer": torch.optim.Adam(m.parameters(), lr=0.1)}):
        load_state(fresh, path, {})
        weight, old = fresh["model"].weight, trained["model"].weight
        moments, expected = fresh["optimizer"].state[weight], trained["optimizer"].state[old]
        assert torch.equal(weight, old) and weight.stride() == old.stride()
        for field in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(moments[field], expected[field]), field
            assert moments[field].stride() == expected[field].stride(), field


def test_a_state_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "state"
    save_state(parts(0), path, {}, 1)
    tensors, about = files.read_sealed("saved state", path)
    for change, message in [
        ({"optimizer/0/exp_avg": torch.zeros(3)}, r"optimizer/0/exp_avg has shape \(3,\), expected \(4, 3, 3, 3\)"),
        ({"optimizer/7/exp_avg": torch.zeros(3)}, "has tensor optimizer/7/exp_avg"),
        ({"model/weight": None}, "lacks tensor model/weight"),
        ({"random/cpu": None}, "lacks tensor random/cpu"),
        ({"model/bias": torch.zeros(4).to(torch.float8_e4m3fn)}, "model/bias has dtype torch.float8_e4m3fn"),
        ({"model/bias": torch.zeros(4, dtype=torch.complex64)}, "model/bias has dtype torch.complex64"),
    ]:
        files.write_sealed(path, {key: t for key, t in (tensors | change).items() if t is not None}, about)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            load_state(parts(1), path, {})
    for said in ({"identity": {}}, {"identity": 3, "step": 1}, {"identity": {}, "step": [1]}):
        files.write_sealed(path, tensors, said)
        with pytest.raises(checkpoint.CheckpointError, match="does not say of which run"):
            load_state(parts(1), path, {})


def test_a_flipped_bit_in_a_state_is_refused(tmp_path):
    path, rng = tmp_path / "state", random.Random(0)
    save_state(parts(0), path, {"seed": 0}, 1)
    whole = path.read_bytes()
    assert load_state(parts(1), path, {"seed": 0}) == 1
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(checkpoint.CheckpointError, match="saved state .* (is damaged|has no)"):
            load_state(parts(1), path, {"seed": 0})


def test_a_new_run_leaves_the_state_of_another_alone_and_says_how_to_go_on(tmp_path):
    path, state = tmp_path / "toy.safetensors", tmp_path / "toy.state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(toy(press(5)), NOTHING, path, steps=8, seed=3)
    before = state.read_bytes()
    go_on = "after step 5: go on with --resume --steps 8 --seed 3 in fp32 on the same data, or choose another folder"
    for limit in ({"steps": 8, "seed": 3}, {"steps": 4}, {"seconds": 60.0}):
        with pytest.raises(checkpoint.CheckpointError, match=go_on):
            run(toy(), NOTHING, path, **limit, watch=lambda *_: pytest.fail("it trained"))
    assert state.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [state.name]
    state.write_bytes(before[:-1])
    with pytest.raises(checkpoint.CheckpointError, match="damaged.*delete the file to start anew"):
        run(toy(), NOTHING, path, steps=8)
    state.unlink()
    run(toy(), NOTHING, path, steps=8)


def test_a_second_run_into_the_same_file_is_refused(tmp_path):
    def second(step, *_):
        with pytest.raises(BlockingIOError, match="another run is writing"):
            run(toy(), NOTHING, tmp_path / "toy.safetensors", steps=2)
        run(toy(), NOTHING, tmp_path / "other.safetensors", steps=2)
        done.append(step)

    done = []
    run(toy(), NOTHING, tmp_path / "toy.safetensors", steps=1, watch=second)
    assert done == [1] and checkpoint.read_card(tmp_path / "toy.safetensors")["steps"] == 1
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["other", "other", "toy", "toy"]  # no lock is left


def test_progress_and_schedule():
    used = progress(steps=4)
    assert [used(step) for step in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    clock = progress(seconds=0.05)
    assert clock(0) < 0.5
    time.sleep(0.06)
    assert clock(1) == 1
    assert 0 < warmup_cosine(0.0) < 0.1
    assert warmup_cosine(0.05) == pytest.approx(1)
    assert warmup_cosine(1.0) == pytest.approx(0, abs=1e-9)
    rates = [warmup_cosine(i / 100) for i in range(5, 101)]
    assert rates == sorted(rates, reverse=True)


def test_the_learning_rate_is_the_optimizers_own_times_a_factor_of_the_step():
    one, two = (torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr) for lr in (0.1, 0.02))
    set_rates = scheduler([one, two], steps=100)
    rates = []
    for step in range(101):
        set_rates(step)
        rates.append(one.param_groups[0]["lr"])
        assert two.param_groups[0]["lr"] == pytest.approx(0.2 * rates[-1])
    assert rates[5] == max(rates) == pytest.approx(0.1) and rates[100] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "steps, seconds, save_every, resume, processes, message",
    [
        (None, None, 500, False, 1, "expected one of them"),
        (3, 2.0, 500, False, 1, "expected one of them"),
        (0, None, 500, False, 1, "steps=0"),
        (None, -1.0, 500, False, 1, "seconds=-1"),
        (None, float("nan"), 500, False, 1, "seconds=nan"),
        (None, 5.0, 500, True, 1, "resume with seconds"),
        (None, 5.0, 500, False, 2, "seconds with 2 processes: expected steps"),
        (3, None, 0, False, 1, "save_every=0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(steps, seconds, save_every, resume, processes, message):
    with pytest.raises(ValueError, match=message):
        check_limits(steps, seconds, save_every, resume, processes)
    check_limits(5, None, 500, True, 2)
