"""The data sets that ship with the course, and batches from them. Nothing is downloaded."""

from aigc_lib.data.batches import batches
from aigc_lib.data.files import DataFileError, load_arrays
from aigc_lib.data.mnist import mnist

__all__ = ["DataFileError", "batches", "load_arrays", "mnist"]
