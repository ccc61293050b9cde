"""Kill trainings at random moments and finish them: `python tests/kills.py KILLS vae gan`.

Each killed run is resumed, or started anew where it says that nothing was saved, and must end
with the weights and the card of an uninterrupted one. The runs are forks of this process, which
imports torch once, so a kill costs little; they get one thread, since threads do not survive a fork.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "AIGC_DEVICE": "cpu", "AIGC_PRECISION": "fp32"}

import torch._dynamo  # noqa: E402, F401  # or each child would import it, at its first optimizer

from aigc_lib import data, recipes  # noqa: E402
from aigc_lib.recipes.__main__ import main  # noqa: E402
from aigc_lib.training.files import read_sealed  # noqa: E402

STEPS, ROWS = 10, {"train": 256, "test": 64}
SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)


def start(name, folder, *more):
    """The command line in a child; its pid. What it prints goes to a file beside the folder."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        log = os.open(folder.with_suffix(".log"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["recipes", "train", name, "--steps", str(STEPS), "--save-every", "3", "--out", str(folder), *more]
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code
    except KeyboardInterrupt:  # before the command line began
        code = 130
    finally:
        sys.stdout.flush()
        os._exit(code)


def finish(name, folder, *more):
    """The exit status and the output of a run that nobody kills."""
    _, status = os.waitpid(start(name, folder, *more), 0)
    return os.waitstatus_to_exitcode(status), folder.with_suffix(".log").read_text()


def kill(name, folder, how, delay, *more):
    """Send a signal after `delay` seconds; the exit status, or None if the run was over before."""
    pid = start(name, folder, *more)
    time.sleep(delay)
    if os.waitpid(pid, os.WNOHANG)[0]:
        return None
    os.kill(pid, how)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or None


def left(name, folder):
    """What a killed run left, in words."""
    state, words = folder / f"{name}.state.safetensors", []
    if state.exists():
        words.append(f"state after step {read_sealed('saved state', state)[1]['step']}")
    if (folder / f"{name}.safetensors").exists():
        words.append("checkpoint")
    if folder.exists() and any(".safetensors." in p.name or ".json." in p.name for p in folder.iterdir()):
        words.append("half-written file")
    return " + ".join(words) or "nothing"


def result(name, folder):
    """The tensors, and all of the card but the seconds."""
    tensors, card = read_sealed("checkpoint", folder / f"{name}.safetensors")
    return {key: (t.dtype, t.shape, t.numpy().tobytes()) for key, t in tensors.items()}, card | {"seconds": 0}


def go_on(name, folder):
    """Resume, or start anew where there is nothing to resume; which of them."""
    there = (folder / f"{name}.state.safetensors").exists()
    code, said = finish(name, folder, "--resume")
    if there:
        assert code == 0, said
        return "resumed"
    assert code == 2 and "nothing to resume" in said and "start without --resume" in said, said
    code, said = finish(name, folder)
    assert code == 0, said
    return "started anew"


def trial(name, folder, how, span, rng, expected):
    """One run that is killed, and sometimes its resumption too; what happened, in words."""
    status = None
    while status is None:  # until the signal meets a run
        for path in folder.iterdir() if folder.exists() else ():
            path.unlink()
        status = kill(name, folder, how, rng.uniform(0, span))
    assert status == (130 if how == signal.SIGINT else -how), (status, folder.with_suffix(".log").read_text())
    words = left(name, folder)
    if "state" in words and rng.random() < 0.3:
        again = kill(name, folder, how, rng.uniform(0, span), "--resume")
        words += ", resumed, " + ("over before the second signal" if again is None else "killed again")
    finished = "checkpoint" in words and "state" not in words or words.endswith("second signal")
    how_on = "finished" if finished else go_on(name, folder)
    assert result(name, folder) == expected, (how, words)
    names = sorted(p.name for p in folder.iterdir())
    assert finished or names == [f"{name}.json", f"{name}.safetensors"], names
    return words, how_on


def campaign(name, kills, folder, rng):
    """`kills` of each signal; prints each and the sums."""
    began = time.monotonic()
    code, said = finish(name, folder / "whole")
    span, expected = time.monotonic() - began, result(name, folder / "whole")
    assert code == 0, said
    sums = Counter()
    for how in SIGNALS:
        for i in range(kills):
            words, how_on = trial(name, folder / f"{how.name}{i}", how, span, rng, expected)
            print(f"{name} {how.name}: left {words}; {how_on}, bit-identical", flush=True)
            sums[how_on] += 1
    print(name, dict(sums), flush=True)


if __name__ == "__main__":
    little = {split: tuple(part[:rows].clone() for part in data.mnist(split)) for split, rows in ROWS.items()}
    data.mnist = little.__getitem__
    for recipe in sys.argv[2:]:
        recipes.recipe(recipe).features()  # read once, before the forks
        with tempfile.TemporaryDirectory() as out:
            campaign(recipe, int(sys.argv[1]), Path(out), random.Random(0))
