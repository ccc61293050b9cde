"""What a check says, and the pieces checks are made of."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """The result of a check; as the last line of a cell it shows itself."""

    status: Literal["not attempted", "wrong", "right"]
    message: str

    def __repr__(self) -> str:
        mark = {
            "not attempted": "… Not attempted yet.",
            "wrong": "✗ Not yet.",
            "right": "✓ Correct.",
        }
        return f"{mark[self.status]} {self.message}"


class NotAttempted(Exception):
    """The stub is still there."""


class Wrong(Exception):
    """A hint about what is wrong."""


def _default_device() -> torch.device:
    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.4, once the choice has been taken back
        return torch.device("cpu")


def _set_default_device(device: torch.device) -> None:
    # None, since even the CPU as a chosen default makes every later call slower.
    torch.set_default_device(None if device.type == "cpu" else device)


# What an answer may change for all that runs after it: its name, a way to read it and
# a way to put it back.
SETTINGS = [
    ("the grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
    ("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("the default device", _default_device, _set_default_device),
    ("the number of threads", torch.get_num_threads, torch.set_num_threads),
]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def exercise(body: Callable[[Callable], str]) -> Callable[[Callable], Verdict]:
    """Make a check from a body that returns a word on the right answer.

    On any other answer the body raises NotAttempted or Wrong.
    """

    @wraps(body)
    def check(answer: Callable) -> Verdict:
        if not callable(answer):
            kind = type(answer).__name__
            return Verdict("wrong", f"The check takes a function, but got {kind}.")
        state = torch.get_rng_state()
        try:
            with torch.enable_grad():
                return Verdict("right", body(answer))
        except NotAttempted:
            todo = "replace the `...` or add a `return`, then run this cell again."
            return Verdict("not attempted", f"It returned None: {todo}")
        except Wrong as hint:
            return Verdict("wrong", str(hint))
        finally:
            torch.set_rng_state(state)

    return check


def call(answer: Callable, *args: object, returns: type = Tensor) -> Any:
    """Call the reader's function with copies of the arguments that it could change.

    None means not attempted, an exception becomes a hint, and so do a result that is
    not what the exercise asks for, or no ordinary tensor, and a setting of torch left
    changed, which is put back.
    """

    def copy(a):
        if isinstance(a, list | set | dict):
            return deepcopy(a)
        return a.clone() if isinstance(a, Tensor) and not a.requires_grad else a

    before = [read() for _, read, _ in SETTINGS]
    try:
        result = answer(*map(copy, args))
    except KeyboardInterrupt:  # the reader's own
        raise
    except SystemExit as error:
        raise Wrong("Your function calls exit(): return the result instead.") from error
    except BaseException as error:  # whatever the reader's code raises is the hint
        raise Wrong(f"Your function raised {type(error).__name__}: {error}") from error
    finally:
        changed = _put_back(before)
    if changed:
        raise Wrong(
            f"Your function leaves {changed}, for all code that runs after it: "
            f"it has been put back."
        )
    if result is None:
        raise NotAttempted
    if not isinstance(result, returns) or isinstance(result, bool):
        kind = type(result).__name__
        wanted = "a tensor" if returns is Tensor else returns.__name__
        raise Wrong(f"Your function returned {kind}: expected {wanted}.")
    if returns is Tensor and (oddity := _oddity(result)):
        raise Wrong(f"Your result {oddity}.")
    return result


def _put_back(before: list) -> str:
    """Restore SETTINGS to `before`; returns in words what was different."""
    changed = []
    for (name, read, write), old in zip(SETTINGS, before, strict=True):
        now = read()
        if now != old:
            write(old)
            changed.append(f"{name} changed from {old} to {now}")
    return " and ".join(changed)


def _oddity(result: Tensor) -> str:
    """In words, what keeps a tensor from being compared; empty if nothing does."""
    if result.is_nested:
        return "is a nested tensor: expected an ordinary one"
    if result.layout != torch.strided:
        return f"has the layout {result.layout}: expected a dense tensor"
    if result.is_quantized:
        return f"has the dtype {result.dtype}, quantized: expected an ordinary tensor"
    if result.device.type != "cpu":
        return f"is on the device {result.device}: expected cpu, as the inputs are"
    if result.is_complex():
        return f"has the dtype {result.dtype}, complex numbers: expected real ones"
    return ""


def expect_shape(result: Tensor, shape: tuple[int, ...], why: str) -> None:
    """Raise Wrong unless `result` has `shape` and holds floats."""
    found, shape = tuple(result.shape), tuple(shape)
    if found != shape:
        raise Wrong(f"Your result has shape {found}: expected {shape}, {why}.")
    if result.dtype not in FLOATS:
        raise Wrong(
            f"Your result has the dtype {result.dtype}: "
            f"expected floats, such as torch.float32."
        )


def expect_trainable(result: Tensor, true: Tensor, parameter: Tensor) -> None:
    """Raise Wrong unless `result` has the same gradient as `true`, which it equals.

    The gradient is the one with respect to `parameter`.
    """
    if not result.requires_grad:
        raise Wrong(
            "The value is right, but has no graph: "
            "create_graph=True lets the critic be trained on it."
        )
    try:
        got = torch.autograd.grad(result, parameter, allow_unused=True)[0]
    except RuntimeError:  # frozen parameters, or a freed graph
        got = None
    if got is None or not same(got, torch.autograd.grad(true, parameter)[0]):
        raise Wrong(
            "The value is right, but its gradient is not the critic's: "
            "keep the graph of the slope."
        )


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in shape, and in value up to rounding, whatever the float types."""
    if _oddity(a) or a.shape != b.shape:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)


def compare(
    got: Tensor, true: Tensor, slips: list[tuple[Tensor, str]], otherwise: str
) -> None:
    """Raise Wrong unless `got` is `true`: with the hint of the first slip it equals.

    A slip is a pair (value, hint).
    """
    if same(got, true):
        return
    for value, hint in slips:
        if same(got, value):
            raise Wrong(hint)
    off = "The value is off." if got.numel() == 1 else "The values are off."
    raise Wrong(f"{off} {otherwise}")


def expect_finite(got: Tensor, hint: str) -> None:
    """Raise Wrong when `got` holds an infinity or a NaN."""
    if not got.isfinite().all():
        found = "nan" if got.isnan().any() else "inf"
        raise Wrong(f"Your result holds {found}. {hint}")
