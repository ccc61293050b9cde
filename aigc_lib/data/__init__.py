"""The data sets that ship with the course, and batches from them.

Nothing is downloaded.
"""

from aigc_lib.data import toy
from aigc_lib.data.batches import batches
from aigc_lib.data.files import DataFileError, checksum, load_arrays
from aigc_lib.data.mnist import mnist
from aigc_lib.data.own import own_images

__all__ = [
    "DataFileError",
    "batches",
    "checksum",
    "load_arrays",
    "mnist",
    "own_images",
    "toy",
]
