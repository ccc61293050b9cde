"""Which pages of the real course are executed again when one file changes: from the record of the last build."""

from functools import cache

import pytest
from pages import ROOT, Executed, file_digest, with_code

RESULTS, CHECKPOINTS = "aigc_lib/evaluate/results", "aigc_lib/recipes/checkpoints"
DIFFUSION = {"diffusion", "samplers", "guidance"}
CHAPTERS = {"warmup", "data", "gan", "gan_family", "vae", "vqvae"} | DIFFUSION
TEXT = {"attention", "transformer", "tokenizers", "gpt", "clip", "dalle", "latent_diffusion"}
LATENT = {"latent_diffusion"}


@cache
def last_build():
    """The record of the last build, in which nothing is out of date, and a digest that reads each file once."""
    executed, digest = Executed(ROOT), cache(file_digest)
    assert all(executed.reason(page, digest) is None for page in with_code()), "build the site first"
    return executed, digest


def again(changed):
    """The pages that a build would execute if this file had another content."""
    executed, known = last_build()

    def digest(path):
        return "changed" if path == ROOT / changed else known(path)

    assert (ROOT / changed).is_file()
    return {page.split("/")[1] for page in with_code() if executed.reason(page, digest)}


@pytest.mark.parametrize(
    "changed, pages",
    [
        ("aigc_lib/models/gan.py", {"data", "gan", "gan_family"}),
        ("aigc_lib/models/vae.py", {"vae", "vqvae"} | LATENT),
        ("aigc_lib/models/stylegan.py", {"gan_family"}),
        ("aigc_lib/nn/attention.py", {"attention", "clip", "dalle", "gan_family", "transformer"} | LATENT),
        ("aigc_lib/recipes/gan.py", {"data", "gan", "gan_family"}),
        ("aigc_lib/recipes/stylegan.py", {"gan_family"}),
        ("aigc_lib/training/adversarial.py", {"data", "gan", "gan_family"}),
        ("aigc_lib/show/player.js", CHAPTERS | TEXT | {"speed"}),
        ("aigc_lib/models/classifier.py", CHAPTERS - {"warmup"} | LATENT),
        ("aigc_lib/exercises/vae.py", {"vae"}),
        ("aigc_lib/exercises/gan_family.py", {"gan_family"}),
        ("aigc_lib/exercises/verdict.py", CHAPTERS | TEXT),
        ("aigc_lib/show/figures.py", CHAPTERS | TEXT | {"speed"}),
        ("aigc_lib/data/shipped/mnist.npz", CHAPTERS | {"attention", "transformer"} | LATENT),
        ("aigc_lib/models/transformer.py", {"clip", "dalle", "transformer"} | LATENT),
        ("aigc_lib/models/clip.py", {"clip", "dalle"} | LATENT),
        ("aigc_lib/models/dalle.py", {"dalle"}),
        ("aigc_lib/models/gpt.py", {"dalle", "gpt", "vqvae"}),
        ("aigc_lib/models/bert.py", {"transformer"}),
        ("aigc_lib/data/shipped/tang.txt", {"gpt", "tokenizers", "transformer"}),
        ("aigc_lib/data/shipped/rhymes.txt", {"gpt"}),
        (f"{CHECKPOINTS}/stylegan.safetensors", {"diffusion", "gan_family"}),
        (f"{CHECKPOINTS}/vae.safetensors", {"diffusion", "vae", "vqvae"}),
        (f"{CHECKPOINTS}/digits.safetensors", CHAPTERS - {"warmup"} | LATENT),
        ("aigc_lib/models/unet_fast.py", DIFFUSION | LATENT),
        (f"{CHECKPOINTS}/ddpm_mnist.safetensors", DIFFUSION),
        (f"{CHECKPOINTS}/kl_pictures.safetensors", LATENT),
        (f"{RESULTS}/vae.json", {"vae"}),
        (f"{RESULTS}/speed.json", {"speed"}),
        ("aigc_lib/recipes/__main__.py", set()),  # the command line
        ("README.md", set()),
    ],
)
def test_a_changed_file_executes_who_needs_it(changed, pages):
    assert again(changed) - {"contributing"} == pages
