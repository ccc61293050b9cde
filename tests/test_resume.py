"""Interrupted runs, and runs on two processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from aigc_lib import recipes
from aigc_lib.training.state import save_state

CPU = {**os.environ, "AIGC_DEVICE": "cpu", "AIGC_PRECISION": "fp32"}


@pytest.fixture
def python_handles_ctrl_c():
    """Also where the tests run as a background job, which ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", recipes.names())
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, python_handles_ctrl_c, little_data, name):
    whole = load_file(recipes.train(name, tmp_path / "whole", steps=6))

    def stop_after_three(step, batch, logs):
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        recipes.train(name, tmp_path / "cut", steps=6, watch=stop_after_three)
    assert [p.name for p in (tmp_path / "cut").iterdir()] == [f"{name}.state.safetensors"]
    resumed = load_file(recipes.train(name, tmp_path / "cut", steps=6, resume=True))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert recipes.card(name, tmp_path / "cut")["steps"] == 6
    left = {p.name for p in (tmp_path / "cut").iterdir()}
    assert left >= {f"{name}.json", f"{name}.safetensors"} and f"{name}.state.safetensors" not in left


def test_what_cannot_be_resumed_is_named(tmp_path, little_data):
    with pytest.raises(recipes.CheckpointError, match="nothing to resume"):
        recipes.train("vae", tmp_path, steps=6, resume=True)
    with pytest.raises(ValueError, match="resume with seconds"):
        recipes.train("vae", tmp_path, seconds=1.0, resume=True)
    state = tmp_path / "vae.state.safetensors"
    model = recipes.recipe("vae").build()
    save_state({"model": model}, state, {"recipe": "vae", "steps": 9}, 2)
    with pytest.raises(recipes.CheckpointError, match="another run: steps is 9 there, expected 6"):
        recipes.train("vae", tmp_path, steps=6, resume=True)
    state.write_bytes(state.read_bytes()[:999])
    with pytest.raises(recipes.CheckpointError, match="damaged"):
        recipes.train("vae", tmp_path, steps=6, resume=True)


def test_a_state_of_another_precision_is_refused(tmp_path):
    def train(precision, code, *more):
        args = ["train", "digits", "--steps", "6", "--out", str(tmp_path), *more]
        command, env = [sys.executable, "-c", code, *args], CPU | {"AIGC_PRECISION": precision}
        return subprocess.run(command, capture_output=True, text=True, env=env)

    stopped = train("fp32", STOPPED)
    assert stopped.returncode == 130 and "--resume goes on after step 3" in stopped.stderr
    other = train("bf16", "from aigc_lib.recipes.__main__ import main; main()", "--resume")
    assert other.returncode == 2 and "precision is 'fp32' there, expected 'bf16'" in other.stderr


STOPPED = """
import signal
from aigc_lib import recipes
from aigc_lib.recipes.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
whole = recipes.train
def stop(step, *_):
    if step == 3:
        signal.raise_signal(signal.SIGINT)
recipes.train = lambda *args, **options: whole(*args, **options, watch=stop)
main()
"""


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from aigc_lib.recipes.__main__ import main
main()
"""


def limited(size, *args):
    """The command line where no file may be larger than `size` bytes, as on a full disk."""
    command = [sys.executable, "-c", LIMITED, str(size), *args]
    return subprocess.run(command, capture_output=True, text=True, env=CPU)


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
def test_a_state_that_does_not_fit_is_one_warning_and_a_checkpoint_that_does_not_is_an_error(tmp_path):
    args = ["train", "digits", "--steps", "5", "--save-every", "1", "--out", str(tmp_path)]
    path = tmp_path / "digits.safetensors"
    done = limited(500_000, *args)  # the state has 1.3 MB, the checkpoint 0.2
    assert done.returncode == 0 and done.stdout.strip() == str(path)
    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    assert len(warnings) == 1 and f"the state is not saved: [Errno 27] File too large: '{tmp_path}" in warnings[0]
    before = path.read_bytes()
    done = limited(100_000, *args)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"error: [Errno 27] File too large: '{path}'"
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits.json", "digits.safetensors"]


def start(tmp_path):
    command = [sys.executable, "-m", "aigc_lib.recipes", "train", "vae", "--save-every", "2"]
    return subprocess.Popen(
        [*command, "--steps", "100000", "--out", str(tmp_path)],
        env=CPU,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopping_keeps_the_last_checkpoint_and_a_state_to_go_on_from(tmp_path, little_data, how):
    recipes.train("vae", tmp_path, steps=1)
    before = (tmp_path / "vae.safetensors").read_bytes()
    process = start(tmp_path)
    state = tmp_path / "vae.state.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert (tmp_path / "vae.safetensors").read_bytes() == before
    recipes.load("vae", tmp_path)
    assert load_file(state)  # whole
    if how == signal.SIGINT:
        assert process.returncode == 130 and "--resume" in errors


SPY = """
import json, os, sys
from pathlib import Path
import torch
from aigc_lib import recipes
from aigc_lib.training.run import run
from aigc_lib.training.splits import Splits
rank, log = int(os.environ.get("RANK", 0)), {"x": [], "eps": [], "loss": []}
def mark(row):  # a number that no two rows share
    return float((row.double().flatten() * torch.arange(row.numel()).double().sin()).sum())
def watch(step, batch, logs):
    for name, tensor in zip(("x", "eps"), batch):
        log[name].append([mark(row) for row in tensor])
    log["loss"].append(logs["loss"].item())
vae, out = recipes.recipe("vae"), Path(sys.argv[1])
whole = vae.load_data()
little = Splits((whole.training[0][:512],), (whole.held_out[0][:512],), "a part")
run(vae, little, out / "vae.safetensors", steps=4, watch=watch)
json.dump(log, open(out / f"log-{rank}.json", "w"))
"""


def test_two_processes_have_the_curve_of_one_on_different_rows_and_noise(tmp_path):
    script = tmp_path / "spy.py"
    script.write_text(SPY)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]
    logs = {}
    for name, command in {"one": [sys.executable], "two": launch}.items():
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [*command, str(script), str(tmp_path / name)],
            env={**CPU, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        logs[name] = [json.loads(path.read_text()) for path in sorted((tmp_path / name).glob("log-*.json"))]
    (one,), (first, second) = logs["one"], logs["two"]
    assert first["loss"] == pytest.approx(one["loss"], rel=1e-4) and first["loss"] == second["loss"]
    for kind in ("x", "eps"):
        for whole, a, b in zip(one[kind], first[kind], second[kind], strict=True):
            assert sorted(a + b) == pytest.approx(sorted(whole)) and len(a) == len(b) == len(whole) // 2
            assert not set(a) & set(b)
    weights = [load_file(tmp_path / name / "vae.safetensors") for name in ("one", "two")]
    for key in weights[0]:
        torch.testing.assert_close(weights[0][key].float(), weights[1][key].float(), rtol=1e-2, atol=1e-3)


def test_killed_runs_end_bit_identical(tmp_path):
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, str(script), "1", "vae", "gan"], capture_output=True, text=True, env=CPU)
    assert done.returncode == 0, done.stdout + done.stderr
    killed = [line for line in done.stdout.splitlines() if line.endswith("bit-identical")]
    assert len(killed) == 6 and all(f"SIG{how}" in done.stdout for how in ("TERM", "KILL", "INT"))
