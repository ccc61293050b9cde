"""Seed, device, precision, budget."""

import pytest
import torch

from aigc_lib import runtime


def test_seed_repeats_weights_and_noise_separately():
    first = runtime.seed(3)
    weights, noise = torch.randn(4), torch.randn(4, generator=first)
    second = runtime.seed(3)
    torch.randn(100, generator=second)  # noise drawn in between does not move the weights
    assert torch.equal(torch.randn(4), weights)
    assert torch.equal(torch.randn(4, generator=runtime.seed(3)), noise)


def test_aigc_seed_moves_every_seed_and_a_bad_one_is_named(monkeypatch):
    monkeypatch.setenv("AIGC_SEED", "2")
    shifted = torch.randn(4, generator=runtime.seed(1))
    weights = torch.randn(4)
    monkeypatch.delenv("AIGC_SEED")
    assert torch.equal(torch.randn(4, generator=runtime.seed(3)), shifted)
    assert torch.equal(torch.randn(4), weights)
    assert not torch.equal(torch.randn(4, generator=runtime.seed(1)), shifted)
    monkeypatch.setenv("AIGC_SEED", "two")
    with pytest.raises(ValueError, match="AIGC_SEED='two': expected a whole number"):
        runtime.seed(1)


def test_device_override_names_a_bad_value(monkeypatch):
    monkeypatch.setenv("AIGC_DEVICE", "cpu")
    assert runtime.device().type == "cpu"
    assert runtime.budget(cpu=1, gpu=2) == 1
    monkeypatch.setenv("AIGC_DEVICE", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        runtime.device()


def test_precision_override(monkeypatch):
    runtime.precision.cache_clear()
    monkeypatch.setenv("AIGC_PRECISION", "bf16")
    assert runtime.precision() == "bf16"
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    runtime.precision.cache_clear()
    monkeypatch.setenv("AIGC_PRECISION", "fp8")
    with pytest.raises(ValueError, match="fp8"):
        runtime.precision()
    runtime.precision.cache_clear()
    monkeypatch.delenv("AIGC_PRECISION")
    assert runtime.precision() in ("fp32", "bf16")
    runtime.precision.cache_clear()
