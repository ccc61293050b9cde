"""Checkpoints and other files of a run: what damage looks like, and who may write."""

import json
import os
import random
import subprocess
import sys
import tempfile

import pytest
import safetensors.torch
import torch
from torch import nn

from aigc_lib import recipes
from aigc_lib.models.vae import conv_vae
from aigc_lib.training import checkpoint, files


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
    files.write_sealed(saved, {"weight": torch.zeros(3)}, {"recipe": "vae"})
    with pytest.raises(recipes.CheckpointError, match="lacks tensor decoder.0.bias"):
        recipes.load("vae", saved.parent)


def test_a_file_without_a_checksum_is_refused(saved):
    tensors = safetensors.torch.load(saved.read_bytes())
    for metadata in (None, {"card": json.dumps({"recipe": "vae"})}):  # the second is how it was done before
        saved.write_bytes(safetensors.torch.save(tensors, metadata))
        with pytest.raises(recipes.CheckpointError, match="vae.safetensors has no checksum"):
            recipes.load("vae", saved.parent)


def flips(size, start):
    """Bits to flip: each one of the header, and a hundred behind it."""
    rng = random.Random(0)
    yield from ((at, bit) for at in range(start) for bit in range(8))
    yield from ((rng.randrange(start, size), rng.randrange(8)) for _ in range(100))


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path):
    path, model = tmp_path / "toy.safetensors", nn.Linear(30, 10)
    card = {"recipe": "toy", "metrics": {"fdd": 9.75}, "steps": 500}
    whole = checkpoint.save_checkpoint(model, card, path).read_bytes()
    assert checkpoint.load_checkpoint(model, path) == card
    header = 8 + int.from_bytes(whole[:8], "little")
    for at, bit in flips(len(whole), header):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(files.CheckpointError, match="toy.safetensors (is damaged|has no)"):
            checkpoint.load_checkpoint(model, path)


@pytest.mark.parametrize(
    "name, kind",
    [("weight", {}), ("bias", {"dtype": torch.float16}), ("bias", {"shape": (1, 4)})],
)
def test_name_dtype_and_shape_are_in_the_checksum(tmp_path, name, kind):
    """Metadata of one file before the tensors of another that differ in nothing else."""
    path = tmp_path / "toy.safetensors"
    files.write_sealed(path, {"bias": torch.zeros(4)}, {"recipe": "toy"})
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    other = torch.zeros(4, dtype=kind.get("dtype")).reshape(kind.get("shape", (4,)))
    for tensors, refused in (({"bias": torch.zeros(4)}, False), ({name: other}, True)):
        path.write_bytes(safetensors.torch.save(tensors, header["__metadata__"]))
        if refused:
            with pytest.raises(files.CheckpointError, match="does not have its SHA-256"):
                files.read_sealed("checkpoint", path)
        else:
            files.read_sealed("checkpoint", path)


def test_the_same_content_makes_the_same_file(tmp_path):
    code = f"""import sys, torch; from pathlib import Path; from aigc_lib.training.files import write_sealed
write_sealed(Path(sys.argv[1]), {{"b": torch.ones(3), "a": torch.zeros(2)}}, {dict(recipe="toy", seed=1, steps=2)})"""
    contents = set()
    for i in range(3):
        subprocess.run([sys.executable, "-c", code, tmp_path / str(i)], check=True)
        contents.add((tmp_path / str(i)).read_bytes())
    assert len(contents) == 1


def test_another_recipes_file_under_this_name(saved):
    saved.write_bytes((recipes.SHIPPED / "digits.safetensors").read_bytes())
    with pytest.raises(recipes.CheckpointError, match="was written by recipe 'digits': expected 'vae'"):
        recipes.card("vae", saved.parent)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, torch.float64, torch.float8_e4m3fn])
def test_another_kind_of_number_is_refused(saved, dtype):
    tensors, card = files.read_sealed("checkpoint", saved)
    value = 1e300 if dtype == torch.float64 else 1
    tensors["decoder.0.bias"] = torch.full_like(tensors["decoder.0.bias"], value, dtype=dtype)
    files.write_sealed(saved, tensors, card)
    with pytest.raises(recipes.CheckpointError, match=f"decoder.0.bias has dtype {dtype}, expected torch.float32"):
        recipes.load("vae", saved.parent)


@pytest.mark.parametrize(
    "dtype, value, message",
    [
        (torch.float64, 1e300, "weight has dtype torch.float64: expected float32"),
        (torch.complex64, 1j, "weight has dtype torch.complex64: expected float32"),
        (torch.float8_e4m3fn, 1.0, "weight has dtype torch.float8_e4m3fn: expected float32"),
        (torch.float32, 1e6, "weight has values outside float16"),
        (torch.float32, float("nan"), "weight has values outside float16"),
    ],
)
def test_weights_that_do_not_fit_float16_are_refused(tmp_path, dtype, value, message):
    model, widest = nn.Linear(2, 2), torch.complex128 if dtype.is_complex else torch.float64
    model.weight = nn.Parameter(torch.full((2, 2), value, dtype=widest).to(dtype), requires_grad=False)
    with pytest.raises(ValueError, match=message):
        checkpoint.save_checkpoint(model, {}, tmp_path / "toy.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_wrong_shape_and_not_finite_leave_the_model_alone(saved):
    model = conv_vae(latent_dim=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(recipes.CheckpointError, match=r"decoder.0.weight has shape \(256, 20\), expected \(256, 7\)"):
        checkpoint.load_checkpoint(model, saved)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    tensors, card = files.read_sealed("checkpoint", saved)
    tensors["decoder.0.bias"][0] = float("inf")
    files.write_sealed(saved, tensors, card)
    with pytest.raises(recipes.CheckpointError, match="decoder.0.bias.*not finite"):
        checkpoint.load_checkpoint(conv_vae(latent_dim=20), saved)


def test_numbers_too_large_for_the_models_own_type_are_refused(tmp_path):
    path = tmp_path / "toy.safetensors"
    files.write_sealed(path, {"weight": torch.full((1, 1), 1e30), "bias": torch.zeros(1)}, {})
    checkpoint.load_checkpoint(nn.Linear(1, 1), path)
    with pytest.raises(files.CheckpointError, match="weight has values that are not finite in torch.float16"):
        checkpoint.load_checkpoint(nn.Linear(1, 1).half(), path)


@pytest.mark.parametrize("sealed", ["[" * 100_000, "3", "[]", "{}", '{"about": 3, "sha256": ""}', '{"about": '])
def test_a_card_that_cannot_be_read_is_one_line(saved, sealed):
    saved.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}, {"sealed": sealed}))
    with pytest.raises(recipes.CheckpointError, match="vae.safetensors (has no readable card|is damaged)"):
        recipes.card("vae", saved.parent)


def test_a_kind_of_number_that_torch_does_not_know_is_one_line(saved):
    header = b'{"weight":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}'
    saved.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(recipes.CheckpointError, match="vae.safetensors (is damaged|has no)"):
        recipes.card("vae", saved.parent)


def pipe(path):
    os.mkfifo(path)


@pytest.mark.parametrize("make", [pipe, os.mkdir])
@pytest.mark.skipif(os.name != "posix", reason="needs a named pipe")
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused(tmp_path, make):
    make(tmp_path / "vae.safetensors")
    for command in (["show", "vae", "--from"], ["train", "vae", "--steps", "1", "--out"]):
        done = subprocess.run(
            [sys.executable, "-m", "aigc_lib.recipes", *command, str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,  # a pipe without a writer would wait for ever
        )
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
        assert "vae.safetensors is a folder or a pipe" in done.stderr
    os.rename(tmp_path / "vae.safetensors", tmp_path / "vae.state.safetensors")
    with pytest.raises(OSError, match="vae.state.safetensors is a folder or a pipe"):
        recipes.train("vae", tmp_path, steps=1, resume=True)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_written_is_refused_before_training():
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o555)
    become_nobody = "os.getuid() or os.setuid(65534)"  # root may write anywhere
    call = f"only_run(pathlib.Path({folder!r}, 'vae.safetensors')).__enter__()"
    code = f"import os, pathlib; from aigc_lib.training.files import only_run; {become_nobody}; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    os.rmdir(folder)  # nothing was left in it
    assert done.returncode != 0 and f"Permission denied: '{folder}" in done.stderr


def test_one_run_at_a_time_and_what_a_killed_one_left_is_removed(tmp_path):
    path = tmp_path / "vae.safetensors"
    ours, theirs = tmp_path / ".vae.safetensors.abc123", tmp_path / ".gan.safetensors.abc123"
    ours.touch()
    theirs.touch()
    with files.only_run(path):
        assert not ours.exists() and theirs.exists()
        with pytest.raises(BlockingIOError, match=f"another run is writing {path}"), files.only_run(path):
            pytest.fail("two at a time")
        with files.only_run(tmp_path / "gan.safetensors"):  # another recipe may
            assert not theirs.exists()
    assert list(tmp_path.iterdir()) == []
    with files.only_run(path):
        pass


HOLD = """
import pathlib, sys, time
from aigc_lib.training.files import only_run
with only_run(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_run_holds_no_lock(tmp_path):
    path = tmp_path / "vae.safetensors"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), files.only_run(path):
        pytest.fail("two at a time")
    process.kill()
    process.wait()
    assert (tmp_path / ".vae.lock").exists()
    with files.only_run(path):
        pass
    assert list(tmp_path.iterdir()) == []
