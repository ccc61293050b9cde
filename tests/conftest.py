"""What tests of several files share."""

import os
from functools import cache

import pytest
from parallel import ONE_THREAD

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers that share processors get one thread each
    os.environ.update(ONE_THREAD)
os.environ.setdefault("AIGC_PRECISION", "fp32")

from aigc_lib import data  # noqa: E402

whole = data.mnist


@cache
def little(split):
    """512 digits to train on and 256 held out."""
    return tuple(part[: 512 if split == "train" else 256].clone() for part in whole(split))


@pytest.fixture
def little_data(monkeypatch):
    """A small data set, for tests in which nothing is measured."""
    monkeypatch.setattr(data, "mnist", little)
