"""Recipes and checkpoints: the command line, the shipped files, and what damage looks like."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aigc_lib import data, recipes
from aigc_lib.data.files import checksum
from aigc_lib.recipes.__main__ import main
from aigc_lib.training import checkpoint


def cli(*args, cwd=None, **environment):
    command = [sys.executable, "-m", "aigc_lib.recipes", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment)


SHIPPED = [name for name in recipes.names() if name != "gpt"]  # that one is for texts of one's own


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoint_is_as_good_as_its_card_says(name):
    card, path = recipes.card(name), recipes.SHIPPED / f"{name}.safetensors"
    assert json.loads(path.with_suffix(".json").read_text()) == card  # the copy for readers
    assert path.stat().st_size <= 3 * 2**20
    assert card["steps"] > 0 and card["seconds"] > 0
    said, found = recipes.verify(name)
    assert said.items() >= card["metrics"].items() and "data_sha256" in said
    assert {key: found[key] for key in said if not recipes.agree(said[key], found[key])} == {}


def test_verify_prints_both_and_sees_other_weights_and_another_meter(tmp_path, monkeypatch, capsys, little_data):
    path = recipes.train("digits", tmp_path, steps=2)
    monkeypatch.setattr(sys, "argv", ["recipes", "verify", "digits", "--from", str(tmp_path)])

    def verified():
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().out

    code, printed = verified()
    accuracy = f"{recipes.card('digits', tmp_path)['metrics']['test_accuracy']:.4f}"
    assert code == 0 and printed.count(accuracy) == 2 and "differs" not in printed
    model, card = recipes.load("digits", tmp_path), recipes.card("digits", tmp_path)
    model.head.bias.data[3] += 1e3  # a classifier that always says three
    checkpoint.save_checkpoint(model, card, path)
    code, printed = verified()
    assert code == 1 and [line.split()[0] for line in printed.splitlines() if "differs" in line] == ["test_accuracy"]
    card["leans_on"] = {"digits_sha256": "0" * 64}
    checkpoint.save_checkpoint(model, card, path)
    code, printed = verified()
    assert code == 1 and "000000000000" in printed


def test_numbers_agree_within_a_tolerance_and_checksums_exactly():
    assert recipes.agree(9.78, 9.79) and not recipes.agree(9.0, 9.79)
    assert recipes.agree("ab", "ab") and not recipes.agree("ab", "ac")
    assert not recipes.agree(1.0, None) and not recipes.agree(1.0, float("nan"))


def test_a_card_says_how_to_repeat_the_training(tmp_path, little_data):
    recipes.train("gan", tmp_path, steps=1, seed=3)
    card = recipes.card("gan", tmp_path)
    assert card["budget"] == {"steps": 1, "seconds": None} and card["seed"] == 3 and card["steps"] == 1
    assert card["data_sha256"] == checksum("mnist") and card["torch"] and card["aigc_lib"]
    digits = (recipes.SHIPPED / "digits.safetensors").read_bytes()
    assert card["leans_on"] == {"digits_sha256": hashlib.sha256(digits).hexdigest()}


ALONE = """
import sys
from aigc_lib import recipes
card = recipes.card("vae")
assert not [m for m in sys.modules if m.startswith("aigc_lib.models.")], "a card needs no network"
recipes.load("vae")
names = [m.rpartition(".")[2] for m in sys.modules if m.startswith(("aigc_lib.models.", "aigc_lib.recipes."))]
print(*sorted(names))
"""


def test_a_recipe_is_imported_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["classifier", "digits", "vae", "vae"]  # the meter's, and its own


TOY = """\"\"\"A toy recipe: one number.

More about it.
\"\"\"
import torch
from aigc_lib.training.run import Job
from aigc_lib.training.splits import Splits

STEPS, LEANS_ON = 3, ()

def build():
    return torch.nn.Linear(1, 1)

def load_data(own=None):
    return Splits((torch.ones(8, 1),), (torch.ones(4, 1),), "none")

def prepare(splits, accelerator, rng):
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def update(batch):
        loss = model(batch[0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    batches = ((splits.training[0],) for _ in iter(int, 1))
    return Job(model, {"model": model, "optimizer": optimizer}, batches, update)

def metrics(model, splits):
    return {"loss": float(model(splits.held_out[0]).square().mean().detach())}
"""


def test_a_new_recipe_is_one_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])  # as if it stood in the package
    monkeypatch.setattr(sys, "argv", ["recipes", "list"])
    main()
    assert "toy          A toy recipe: one number.\n" in capsys.readouterr().out
    recipes.train("toy", tmp_path)
    assert recipes.card("toy", tmp_path)["steps"] == 3
    said, found = recipes.verify("toy", tmp_path)
    assert said.keys() == {"loss", "data_sha256"} and all(recipes.agree(said[key], found[key]) for key in said)


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_short_and_says_what_is_special(name):
    recipe = recipes.recipe(name)
    lines = Path(recipe.__file__).read_text().splitlines()
    assert len(lines) <= 60
    assert lines[0].startswith('"""') and lines[0].rstrip('"').endswith(".")
    firsts = [recipes.recipe(other).__doc__.splitlines()[0] for other in recipes.names()]
    assert len(set(firsts)) == len(firsts)


def test_train_writes_a_checkpoint_that_loads(tmp_path):
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=data.mnist("train")[0][:600].numpy())
    done = cli("train", "vae", "--steps", "3", "--images", str(pictures), "--out", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    card = recipes.card("vae", tmp_path / "new")
    assert card["steps"] == 3 and card["recipe"] == "vae"
    assert not recipes.load("vae", tmp_path / "new").training
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["vae.json", "vae.safetensors"]


def test_shipped_classifier_is_fit_to_be_a_meter():
    images, labels = data.mnist("test")
    _, probabilities = recipes.digit_features()(images)
    accuracy = (probabilities.argmax(1) == labels).float().mean().item()
    assert accuracy >= 0.99
    assert accuracy == pytest.approx(recipes.card("digits")["metrics"]["test_accuracy"], abs=0.001)


LAPTOP = """
import pathlib, sys
from aigc_lib import recipes
from aigc_lib.training.run import run
from aigc_lib.training.splits import Splits
for name in recipes.names():
    recipe = recipes.recipe(name)
    whole = recipe.load_data()
    n = 4096 if whole.training[0].ndim == 1 else 256  # characters of a text, or rows
    parts = (tuple(part[:n] for part in tensors) for tensors in (whole.training, whole.held_out))
    run(recipe, Splits(*parts, "a part", whole.characters), pathlib.Path(sys.argv[1], f"{name}.safetensors"), steps=1)
"""


def test_one_step_of_every_recipe_with_the_instructions_of_a_laptop(tmp_path):
    laptop = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "AIGC_PRECISION": "fp32"}
    command = [sys.executable, "-c", LAPTOP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | laptop)
    assert done.returncode == 0, done.stderr
    for name in recipes.names():
        card = recipes.card(name, tmp_path)
        assert card["steps"] == 1 and card["cpu_capability"] in ("AVX2", "DEFAULT")


def test_list_and_show():
    listed = cli("list")
    assert listed.returncode == 0 and "vae" in listed.stdout
    shown = cli("show", "vae")
    assert json.loads(shown.stdout)["steps"] == recipes.card("vae")["steps"]


@pytest.mark.parametrize(
    "args, message",
    [
        (["train", "gpt5"], "unknown recipe 'gpt5'; known: cgan, clip_emoji, clip_shapes"),
        (["show", "gpt5"], "unknown recipe 'gpt5'"),
        (["train", "vae", "--steps", "0"], "steps=0"),
        (["train", "vae", "--seconds", "-1"], "seconds=-1"),
        (["show", "vae", "--from", "nowhere"], "does not exist"),
        (["train", "vae", "--steps", "1", "--out", "taken"], "taken"),
        (["verify", "gpt5"], "unknown recipe 'gpt5'"),
        (
            ["train", "vae", "--steps", "1", "--out", "folder"],
            "vae.safetensors is a folder or a pipe: expected a place for",
        ),
        (["train", "vae", "--steps", "1", "--seed", str(2**64)], f"seed {2**64}: expected -2**63 to 2**64 - 1"),
        (["train", "vae", "--steps", "1", "--seed", str(-(2**63) - 1)], f"seed {-(2**63) - 1}: expected"),
        (["train", "vae", "--steps", "1", "--resume"], "nothing to resume: checkpoints/vae.state.safetensors"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, args, message):
    (tmp_path / "taken").write_text("a file where a folder should be")
    (tmp_path / "folder" / "vae.safetensors").mkdir(parents=True)
    done = cli(*args, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ") and done.stdout == ""
    assert [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".safetensors") and p.is_file()] == []


def test_a_seed_is_any_whole_number_that_torch_takes(tmp_path, little_data):
    for seed in (-1, 2**64 - 1):
        recipes.train("digits", tmp_path / str(seed), steps=1, seed=seed)
        assert recipes.card("digits", tmp_path / str(seed))["seed"] == seed
    with pytest.raises(ValueError, match="seed 0.5: expected a whole number"):
        recipes.train("digits", tmp_path, steps=1, seed=0.5)


def test_a_rank_without_a_launcher_is_refused(tmp_path):
    done = cli("train", "digits", "--steps", "1", "--out", str(tmp_path), RANK="1")
    assert done.returncode == 2 and done.stdout == "" and list(tmp_path.iterdir()) == []
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: RANK=1 in the environment") and "unset RANK" in line


def test_a_path_that_the_terminal_cannot_spell_is_printed_with_escapes(tmp_path):
    done = cli("train", "digits", "--steps", "1", "--out", str(tmp_path / "é"), PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout.strip().endswith("\\xe9/digits.safetensors")
    assert recipes.card("digits", tmp_path / "é")["steps"] == 1


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_meter_that_does_not_work_is_found_before_the_training(tmp_path, harm):
    package = Path(recipes.__file__).parents[1]
    copy = shutil.copytree(package, tmp_path / "aigc_lib", ignore=shutil.ignore_patterns("__pycache__"))
    meter = copy / "recipes" / "checkpoints" / "digits.safetensors"
    content = bytearray(meter.read_bytes())
    content[-1] ^= 1
    meter.unlink() if harm == "missing" else meter.write_bytes(content)
    args = ["train", "vae", "--steps", "1000000", "--out", "new"]  # it would take days
    done = cli(*args, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and not (tmp_path / "new").exists()
    (line,) = done.stderr.strip().splitlines()
    assert str(meter) in line and {"missing": "does not exist", "damaged": "is damaged"}[harm] in line


@pytest.mark.parametrize("card", [{}, {"metrics": 3}, {"metrics": {"fdd": {"a": [1]}}, "data_sha256": "0"}])
def test_a_card_without_numbers_is_one_line(tmp_path, card):
    path = tmp_path / "digits.safetensors"
    checkpoint.save_checkpoint(recipes.recipe("digits").build(), {"recipe": "digits"} | card, path)
    with pytest.raises(recipes.CheckpointError, match="digits.safetensors.* in its card"):
        recipes.verify("digits", tmp_path)
