"""Recipes and checkpoints: the command line, the shipped files, and what damage looks like."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from aigc_lib import data, recipes
from aigc_lib.data.files import checksum
from aigc_lib.models.vae import conv_vae
from aigc_lib.recipes.__main__ import main
from aigc_lib.training import checkpoint


def cli(*args, cwd=None, **environment):
    command = [sys.executable, "-m", "aigc_lib.recipes", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment)


@pytest.mark.parametrize("name", recipes.names())
def test_shipped_checkpoint_is_as_good_as_its_card_says(name):
    card, path = recipes.card(name), recipes.SHIPPED / f"{name}.safetensors"
    assert json.loads(path.with_suffix(".json").read_text()) == card  # the copy for readers
    assert path.stat().st_size <= 3 * 2**20
    assert card["data_sha256"] == checksum("mnist") and card["steps"] > 0 and card["seconds"] > 0
    said, found = recipes.verify(name)
    assert said.items() >= card["metrics"].items()
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
    parts = (tuple(part[:256] for part in tensors) for tensors in (whole.training, whole.held_out))
    run(recipe, Splits(*parts, "a part"), pathlib.Path(sys.argv[1], f"{name}.safetensors"), steps=1)
"""


def test_one_step_of_every_recipe_with_the_instructions_of_a_laptop(tmp_path):
    laptop = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "AIGC_PRECISION": "fp32"}
    command = [sys.executable, "-c", LAPTOP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | laptop)
    assert done.returncode == 0, done.stderr
    for name in recipes.names():
        card = recipes.card(name, tmp_path)
        assert card["steps"] == 1 and card["cpu_capability"] in ("AVX2", "DEFAULT")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_written_is_refused_before_training():
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o555)
    become_nobody = "os.getuid() or os.setuid(65534)"  # root may write anywhere
    call = f"expect_writable(pathlib.Path({folder!r}, 'vae.safetensors'))"
    code = f"import os, pathlib; from aigc_lib.training.checkpoint import expect_writable; {become_nobody}; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    os.rmdir(folder)  # nothing was left in it
    assert done.returncode != 0 and f"Permission denied: '{folder}" in done.stderr


def test_no_space_left_is_one_line_and_keeps_what_was_there(tmp_path, monkeypatch, capsys, little_data):
    path = recipes.train("vae", tmp_path, steps=1)
    before = path.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", no_space)
    monkeypatch.setattr(sys, "argv", ["recipes", "train", "vae", "--steps", "1", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].endswith("No space left on device")
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["vae.json", "vae.safetensors"]


def test_list_and_show():
    listed = cli("list")
    assert listed.returncode == 0 and "vae" in listed.stdout
    shown = cli("show", "vae")
    assert json.loads(shown.stdout)["steps"] == recipes.card("vae")["steps"]


@pytest.mark.parametrize(
    "args, message",
    [
        (["train", "gpt5"], "unknown recipe 'gpt5'; known: cgan, digits"),
        (["show", "gpt5"], "unknown recipe 'gpt5'"),
        (["train", "vae", "--steps", "0"], "steps=0"),
        (["train", "vae", "--seconds", "-1"], "seconds=-1"),
        (["show", "vae", "--from", "nowhere"], "does not exist"),
        (["train", "vae", "--steps", "1", "--out", "taken"], "taken"),
        (["verify", "gpt5"], "unknown recipe 'gpt5'"),
        (["train", "vae", "--steps", "1", "--out", "folder"], "vae.safetensors is a folder"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, args, message):
    (tmp_path / "taken").write_text("a file where a folder should be")
    (tmp_path / "folder" / "vae.safetensors").mkdir(parents=True)
    done = cli(*args, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".safetensors") and p.is_file()] == []


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    return checkpoint.save_checkpoint(conv_vae(latent_dim=20), {"recipe": "vae"}, tmp_path / "vae.safetensors")


def test_truncated_and_foreign_files(saved):
    whole = saved.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not a safetensors file at all"):
        saved.write_bytes(damaged)
        with pytest.raises(recipes.CheckpointError, match="vae.safetensors is damaged"):
            recipes.load("vae", saved.parent)
    saved.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}, {"card": "{}"}))
    with pytest.raises(recipes.CheckpointError, match="lacks tensor decoder.0.bias"):
        recipes.load("vae", saved.parent)
    saved.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}))
    with pytest.raises(recipes.CheckpointError, match="no readable card"):
        recipes.load("vae", saved.parent)


def test_another_recipes_file_under_this_name_and_another_kind_of_number(saved):
    saved.write_bytes((recipes.SHIPPED / "digits.safetensors").read_bytes())
    with pytest.raises(recipes.CheckpointError, match="was written by recipe 'digits': expected 'vae'"):
        recipes.card("vae", saved.parent)
    model = conv_vae(latent_dim=20)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["decoder.0.bias"] = state["decoder.0.bias"].to(torch.int8)
    saved.write_bytes(safetensors.torch.save(state, {"card": "{}"}))
    with pytest.raises(recipes.CheckpointError, match="decoder.0.bias has dtype torch.int8, expected torch.float32"):
        checkpoint.load_checkpoint(model, saved)


def test_wrong_shape_and_not_finite_leave_the_model_alone(saved):
    model = conv_vae(latent_dim=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(recipes.CheckpointError, match=r"decoder.0.weight has shape \(256, 20\), expected \(256, 7\)"):
        checkpoint.load_checkpoint(model, saved)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    state = safetensors.torch.load(saved.read_bytes())
    state["decoder.0.bias"][0] = float("inf")
    saved.write_bytes(safetensors.torch.save(state, {"card": "{}"}))
    with pytest.raises(recipes.CheckpointError, match="decoder.0.bias.*not finite"):
        checkpoint.load_checkpoint(conv_vae(latent_dim=20), saved)


def test_a_failed_write_keeps_the_old_checkpoint(saved, monkeypatch):
    before = saved.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_checkpoint(conv_vae(latent_dim=20), {"recipe": "vae"}, saved)
    assert saved.read_bytes() == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["vae.json", "vae.safetensors"]


def test_weights_that_do_not_fit_float16_are_refused(tmp_path):
    model = conv_vae(latent_dim=2)
    model.decoder[0].weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match="decoder.0.weight"):
        checkpoint.save_checkpoint(model, {}, tmp_path / "vae.safetensors")
    assert list(tmp_path.iterdir()) == []
