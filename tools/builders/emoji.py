"""Emoji: Twemoji's pictures at 32x32 pixels on white, with names, categories and groups of variants."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from builders import expect_digest

PACKAGES = ["emoji-datasource-twitter@16.0.0"]
DIGEST = "106f9464e6db396686e30aad0a0282d3ae6c8c6d8d3ef512b5ea864f74502083"
# Person, man, woman, the signs of the two, the joiner, and "as a picture": what tells the variants of one emoji apart.
VARIANT = {"1f9d1", "1f468", "1f469", "2640", "2642", "200d", "fe0f"}
SIZE = 32


def group(code: str) -> str:
    """What the variants of one emoji share, of its code points "1f468-200d-1f9b0"."""
    points = code.lower().split("-")
    return "-".join(p for p in points if p not in VARIANT) or "person"


def picture(path: Path) -> np.ndarray:
    """A 64x64 picture with transparency on white, each 2x2 pixels averaged: (32, 32, 3) uint8."""
    rgba = np.asarray(Image.open(path).convert("RGBA"), dtype=np.float64) / 255
    colour, opacity = rgba[..., :3], rgba[..., 3:]
    flat = colour * opacity + 1 - opacity
    small = flat.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    return (255 * small).round().astype(np.uint8)


def build(package: Path, out: Path) -> Path:
    """emoji.npz: images (N, 32, 32, 3) uint8, names, categories and groups (N,), in the order of keyboards."""
    entries = json.loads((package / "emoji.json").read_text("utf-8"))
    entries = [entry for entry in entries if entry["has_img_twitter"] and entry["category"] != "Component"]
    entries.sort(key=lambda entry: (entry["sort_order"], entry["unified"]))
    files = [package / "img" / "twitter" / "64" / entry["image"] for entry in entries]
    expect_digest([package / "emoji.json", *files], DIGEST, PACKAGES[0])
    same = defaultdict(list)  # families and some flags have one picture for several emoji
    for entry, path in zip(entries, files, strict=True):
        same[picture(path).tobytes()].append(entry)
    kept = [min(twins, key=lambda entry: (len(entry["name"]), entry["sort_order"])) for twins in same.values()]
    images = [np.frombuffer(raw, np.uint8).reshape(SIZE, SIZE, 3) for raw in same]
    arrays = {
        "images": np.stack(images),
        "names": np.array([entry["name"].lower() for entry in kept]),
        "categories": np.array([entry["category"] for entry in kept]),
        "groups": np.array([group(entry["unified"]) for entry in kept]),
    }
    np.savez_compressed(out / "emoji.npz", **arrays)
    return out / "emoji.npz"
