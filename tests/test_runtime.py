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


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 1.5, "3", None])
def test_a_seed_that_torch_does_not_take_is_named(value):
    with pytest.raises(ValueError, match=f"seed {value!r}: expected"):
        runtime.seed(value)


def test_the_largest_seed_counts_what_aigc_seed_adds(monkeypatch):
    runtime.seed(2**64 - 1)
    monkeypatch.setenv("AIGC_SEED", "1")
    with pytest.raises(ValueError, match=r"AIGC_SEED=1 is in it\): expected -2\*\*63 to 2\*\*64 - 1"):
        runtime.seed(2**64 - 1)


@pytest.mark.parametrize("name", ["meta", "cpu:99", "cpu:1", "hpu"])
def test_a_device_on_which_nothing_would_be_computed_is_refused(monkeypatch, name):
    monkeypatch.setenv("AIGC_DEVICE", name)
    with pytest.raises(ValueError, match=f"AIGC_DEVICE='{name}': expected a device this machine has"):
        runtime.device()


def test_measuring_the_precision_draws_nothing_from_the_global_generator(monkeypatch):
    monkeypatch.delenv("AIGC_PRECISION", raising=False)
    runtime.precision.cache_clear()
    before = torch.get_rng_state()
    runtime.precision()
    assert torch.equal(torch.get_rng_state(), before)
    runtime.precision.cache_clear()
