"""The data sets that ship with the course, and batches from them.

Nothing is downloaded.
"""

from aigc_lib.data import bpe, shapes, tokenizers, toy
from aigc_lib.data.batches import batches
from aigc_lib.data.emoji import Emoji, emoji
from aigc_lib.data.files import DataFileError, checksum, load_arrays, load_text
from aigc_lib.data.gaps import hide
from aigc_lib.data.mnist import mnist
from aigc_lib.data.own import own_images
from aigc_lib.data.text import (
    Poem,
    own_text,
    rhyme_classes,
    shakespeare,
    tang,
)
from aigc_lib.data.windows import windows
from aigc_lib.data.words import Words

__all__ = [
    "DataFileError",
    "Emoji",
    "Poem",
    "Words",
    "batches",
    "bpe",
    "checksum",
    "emoji",
    "hide",
    "load_arrays",
    "load_text",
    "mnist",
    "own_images",
    "own_text",
    "rhyme_classes",
    "shakespeare",
    "shapes",
    "tang",
    "tokenizers",
    "toy",
    "windows",
]
