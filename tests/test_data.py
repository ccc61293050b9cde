"""The shipped data: whole, in the right form, verified, and reproducible."""

import hashlib
import shutil

import pytest
import torch

from aigc_lib import data
from aigc_lib.data.files import SHIPPED, checksum


def test_mnist_is_the_published_data_set():
    train_x, train_y = data.mnist("train")
    test_x, test_y = data.mnist("test")
    assert train_x.shape == (60_000, 1, 28, 28) and test_x.shape == (10_000, 1, 28, 28)
    assert train_x.dtype == torch.float32 and train_y.dtype == torch.int64
    assert train_x.min() == -1 and train_x.max() == 1
    # The mean and deviation of the training pixels that every MNIST example on the web uses.
    grey = (train_x + 1) / 2
    assert round(grey.mean().item(), 4) == 0.1307 and round(grey.std().item(), 4) == 0.3081
    assert torch.bincount(test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The raw test images are, byte for byte, the ones with the published MD5.
    raw = ((test_x + 1) * 127.5).round().byte().numpy().tobytes()
    header = bytes.fromhex("00000803" + "00002710" + "0000001c" + "0000001c")
    assert hashlib.md5(header + raw).hexdigest() == "2646ac647ad5339dbf082846283269ea"


def test_unknown_split_and_name():
    with pytest.raises(ValueError, match="'validation'.*'train', 'test'"):
        data.mnist("validation")
    with pytest.raises(ValueError, match="'cifar'.*mnist"):
        data.load_arrays("cifar")


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "shipped"
    shutil.copytree(SHIPPED, folder)
    return folder


@pytest.mark.parametrize("damage", ["one byte", "truncated", "empty"])
def test_damaged_file_is_named_with_both_checksums_and_the_cure(copy, damage):
    path = copy / "mnist.npz"
    content = bytearray(path.read_bytes())
    if damage == "one byte":
        content[len(content) // 2] ^= 1
    path.write_bytes({"one byte": content, "truncated": content[:1000], "empty": b""}[damage])
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(data.DataFileError) as error:
        data.load_arrays("mnist", copy)
    for part in (str(path), checksum("mnist"), found, "tools/build_data.py mnist"):
        assert part in str(error.value)


def test_missing_file_and_missing_list(copy):
    (copy / "mnist.npz").unlink()
    with pytest.raises(data.DataFileError, match="mnist.npz.*found no file.*build_data"):
        data.load_arrays("mnist", copy)
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(data.DataFileError, match="SHA256SUMS.*build_data"):
        data.load_arrays("mnist", copy)


def test_every_data_file_has_a_checksum_whatever_its_suffix(tmp_path):
    assert all(len(checksum(path.name)) == 64 for path in SHIPPED.iterdir() if path.name != "SHA256SUMS")
    a, b, c = ("a" * 64, "b" * 64, "c" * 64)
    (tmp_path / "SHA256SUMS").write_text(f"{a}  plays.txt\n{b}  emoji.png\n{c}  emoji.npz\n")
    assert checksum("plays", tmp_path) == a and checksum("emoji.npz", tmp_path) == c
    for name in ("emoji", "music"):  # two of them, none of them
        with pytest.raises(ValueError, match=f"'{name}'; known: emoji.npz, emoji.png, plays.txt"):
            checksum(name, tmp_path)


def test_an_epoch_of_batches_has_every_row_once_and_pairs_stay_together():
    x = torch.arange(12.0)
    stream = data.batches(x, 10 * x, batch_size=4, generator=torch.Generator().manual_seed(0))
    epochs = [[next(stream) for _ in range(3)] for _ in range(2)]
    for epoch in epochs:
        assert torch.equal(torch.cat([a for a, _ in epoch]).sort().values, x)
        assert all(torch.equal(b, 10 * a) for a, b in epoch)
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])  # reshuffled


def test_batches_repeat_with_the_seed_and_drop_the_rest_of_an_epoch():
    x = torch.arange(10)
    one, two = (data.batches(x, batch_size=4, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    for _ in range(5):
        (a,), (b,) = next(one), next(two)
        assert a.shape == (4,) and torch.equal(a, b)


def test_batches_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        data.batches(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="batch_size 9"):
        data.batches(torch.zeros(8), batch_size=9)


LINES = {"no digits": "mnist.npz", "few digits": "7a9e  mnist.npz", "binary": "\0\xff" * 40, "no name": 64 * "a"}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_malformed_list_is_named_with_the_line(copy, line):
    path = copy / "SHA256SUMS"
    before = path.read_bytes()
    path.write_bytes(before + b"\n" + line.encode("latin-1") + b"\n")
    number = before.count(b"\n") + 2
    with pytest.raises(data.DataFileError, match=f"SHA256SUMS is damaged in line {number}: .*found '.*build_data"):
        data.load_arrays("mnist", copy)


def test_the_cure_by_git_works_from_where_it_says(copy, monkeypatch, tmp_path):
    (copy / "mnist.npz").unlink()
    with pytest.raises(data.DataFileError) as error:  # no part of the repository: git has nothing to restore
        data.load_arrays("mnist", copy)
    assert "git checkout" not in str(error.value)
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr("aigc_lib.data.files.ROOT", tmp_path)
    monkeypatch.setattr("aigc_lib.data.files.SHIPPED", copy)
    with pytest.raises(data.DataFileError) as error:
        data.load_arrays("mnist", copy)
    assert f"in {tmp_path}: git checkout -- shipped/mnist.npz" in str(error.value)


def test_checksum_names_an_unknown_data_set():
    with pytest.raises(ValueError, match="unknown data set 'cifar'; known: emoji.npz, mnist"):
        checksum("cifar")
