"""Pictures of the reader's own: what fits is converted, what does not is named."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from aigc_lib import data, recipes

GREY = (1, 28, 28)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_fits(tmp_path):
    pixels = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    images, checksum = data.own_images(save(tmp_path / "a.npz", anything=pixels), GREY)
    assert images.shape == (2, 1, 28, 28) and images.min() == -1 and images.max() == 1 and len(checksum) == 64
    same, _ = data.own_images(save(tmp_path / "b.npz", images=images.numpy(), labels=np.zeros(2)), GREY)
    assert np.array_equal(same, images)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, r"shape \(4, 32, 32, 3\); expected \(N, 1, 28, 28\)"),
        ({"images": np.zeros((4, 28, 28), np.int64)}, "dtype int64; expected uint8"),
        ({"images": np.full((4, 28, 28), 255.0)}, "values from 255 to 255; expected floats in"),
        ({"images": np.full((4, 28, 28), np.nan)}, "values from nan"),
        ({"a": np.zeros(1), "b": np.zeros(1)}, r"arrays \['a', 'b'\]"),
        ({"images": np.zeros((1, 28, 28), np.uint8)}, "only 1; expected at least 2"),
        ({"images": np.array([object()])}, "plain numbers"),
        ({"images": np.ones((4, 28, 28), np.uint8)}, "uint8 values 1 to 1, black.*0 and 1 times 255"),
        ({"images": np.linspace(0, 1, 3136).reshape(4, 28, 28)}, r"from 0 to 1, none below 0.*2 \* x - 1"),
        ({"images": np.zeros((4, 28, 28), np.longdouble)}, "dtype float(96|128); expected|none below 0"),
    ],
)
def test_what_does_not(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        data.own_images(save(tmp_path / "x.npz", **arrays), GREY, at_least=2)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        data.own_images(tmp_path / "none.npz", GREY)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a readable npz file"):
        data.own_images(tmp_path / "text.npz", GREY)
    np.save(tmp_path / "one.npy", np.zeros((2, 28, 28)))
    with pytest.raises(ValueError, match="not a readable npz file"):
        data.own_images(tmp_path / "one.npy", GREY)


def test_a_recipe_trains_on_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    recipes.train("vae", tmp_path, steps=2, images=save(tmp_path / "mine.npz", images=pixels))
    card = recipes.card("vae", tmp_path)
    assert card["data_sha256"] != data.checksum("mnist") and card["metrics"]["n"] == 30
    with pytest.raises(ValueError, match="needs labels"):
        recipes.train("digits", tmp_path, steps=2, images=tmp_path / "mine.npz")


def test_the_command_line_says_it_in_one_line_and_writes_nothing(tmp_path):
    save(tmp_path / "bad.npz", images=np.zeros((4, 32, 32), np.uint8))
    command = [sys.executable, "-m", "aigc_lib.recipes", "train", "vae", "--images", "bad.npz", "--out", "new"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "(4, 1, 32, 32)" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npz"]


def header(*shape):
    """The start of an npy file that promises uint8 pictures of this shape."""
    start = io.BytesIO()
    np.lib.format.write_array_header_1_0(start, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return start.getvalue()


@pytest.mark.parametrize(
    "member, message",
    [
        (b"", "not a readable npz file.*EOF"),
        (b"hello, hello", "not a readable npz file.*magic"),
        (header(10**12, 28, 28) + b"abc", "its header asks for 784000000000000 bytes: it holds 3"),
        (header(4, 28, 28) + bytes(10**4), "its header asks for 3136 bytes: it holds 10000"),
        (header(-4, 28, 28) + bytes(3136), "asks for -3136 bytes"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", r"npy format \(2, 0\): expected \(1, 0\)"),
        (b"\x93NUMPY\x01\x00\xff\x7f" + b"(" * 32767, "not a readable npz file"),
    ],
)
def test_what_is_inside_does_not_keep_its_promise(tmp_path, member, message):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", member)
    with pytest.raises(ValueError, match=message) as error:
        data.own_images(tmp_path / "x.npz", GREY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "field, value, message",
    [((6, 8), 1, "is encrypted"), ((8, 10), 99, "compression"), (None, 255, "Bad CRC-32"), (..., 0, "not a zip file")],
)
def test_encrypted_and_damaged_archives(tmp_path, field, value, message):
    path = save(tmp_path / "x.npz", images=np.full((4, 28, 28), 7, np.uint8))
    content = bytearray(path.read_bytes())
    if field is None:
        content[1000] = value  # a pixel
    elif field is ...:
        content.clear()
    else:  # the same field in both headers of the member
        content[field[0]] = content[content.rindex(b"PK\1\2") + field[1]] = value
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        data.own_images(path, GREY)


def test_a_small_file_that_asks_for_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path, start = tmp_path / "x.npz", header(2_000_000, 28, 28)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", start)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\1\2") + 24  # the archive says the same as the header: 1.6 GB
    content[place : place + 4] = (len(start) + 2_000_000 * 784).to_bytes(4, "little")
    path.write_bytes(content)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(ValueError, match="2,000,000 pictures, 6.3 GB in float32; expected at most 4.3 GB"):
        data.own_images(path, GREY)


def test_either_byte_order_will_do(tmp_path):
    pixels = np.linspace(-1, 1, 3136, dtype=np.float32).reshape(4, 1, 28, 28)
    images, _ = data.own_images(save(tmp_path / "x.npz", images=pixels.astype(">f4")), GREY)
    assert np.array_equal(images, pixels)
