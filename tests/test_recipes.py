"""Recipes and checkpoints: the command line, the shipped files, and what damage looks like."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import safetensors.torch
import torch

from aigc_lib import data, evaluate, recipes
from aigc_lib.data.files import checksum
from aigc_lib.models.vae import conv_vae
from aigc_lib.recipes import checkpoint
from aigc_lib.recipes.__main__ import main


def cli(*args, cwd=None, **environment):
    command = [sys.executable, "-m", "aigc_lib.recipes", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_shipped_checkpoint_is_as_good_as_its_card_says(name):
    card, path = recipes.card(name), recipes.SHIPPED / f"{name}.safetensors"
    assert json.loads(path.with_suffix(".json").read_text()) == card  # the copy for readers
    assert path.stat().st_size <= 3 * 2**20
    assert card["data_sha256"] == checksum("mnist") and card["steps"] > 0 and card["seconds"] > 0


def test_shipped_vae_reproduces_its_test_elbo():
    images, _ = data.mnist("test")
    measured = evaluate.negative_elbo(recipes.load("vae"), images[:2000], torch.Generator().manual_seed(0))
    assert measured["loss"] == pytest.approx(recipes.card("vae")["metrics"]["test_loss"], rel=0.03)


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
import functools, sys
from aigc_lib import data, recipes
whole = data.mnist
data.mnist = functools.cache(lambda split: tuple(part[:256] for part in whole(split)))
for name in recipes.RECIPES:
    recipes.train(name, sys.argv[1], steps=1)
"""


def test_one_step_of_every_recipe_with_the_instructions_of_a_laptop(tmp_path):
    laptop = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "AIGC_PRECISION": "fp32"}
    command = [sys.executable, "-c", LAPTOP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | laptop)
    assert done.returncode == 0, done.stderr
    for name in recipes.RECIPES:
        card = recipes.card(name, tmp_path)
        assert card["steps"] == 1 and card["cpu_capability"] in ("AVX2", "DEFAULT")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_written_is_refused_before_training():
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o555)
    become_nobody = "os.getuid() or os.setuid(65534)"  # root may write anywhere
    call = f"recipes._writable(pathlib.Path({folder!r}))"
    code = f"import os, pathlib; from aigc_lib import recipes; {become_nobody}; {call}"
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
        (["train", "gpt5"], "unknown recipe 'gpt5'; known: vae, digits"),
        (["show", "gpt5"], "unknown recipe 'gpt5'"),
        (["train", "vae", "--steps", "0"], "steps=0"),
        (["train", "vae", "--seconds", "-1"], "seconds=-1"),
        (["show", "vae", "--from", "nowhere"], "does not exist"),
        (["train", "vae", "--steps", "1", "--out", "taken"], "taken"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, args, message):
    (tmp_path / "taken").write_text("a file where a folder should be")
    done = cli(*args, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".safetensors")] == []


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
        recipes.load("vae", saved.parent)


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
