"""What a check says, and the pieces checks are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Literal

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
            return Verdict("right", body(answer))
        except NotAttempted:
            todo = "replace the `...` or add a `return`, then run this cell again."
            return Verdict("not attempted", f"It returned None: {todo}")
        except Wrong as hint:
            return Verdict("wrong", str(hint))
        finally:
            torch.set_rng_state(state)

    return check


def call(answer: Callable, *args: object) -> Tensor:
    """Call the reader's function with copies of the tensors that need no gradient.

    None means not attempted, an exception becomes a hint.
    """

    def copy(a):
        return a.clone() if isinstance(a, Tensor) and not a.requires_grad else a

    try:
        result = answer(*map(copy, args))
    except Exception as error:  # whatever the reader's code raises is the hint
        raise Wrong(f"Your function raised {type(error).__name__}: {error}") from error
    if result is None:
        raise NotAttempted
    if not isinstance(result, Tensor):
        kind = type(result).__name__
        raise Wrong(f"Your function returned {kind}: expected a tensor.")
    return result


def expect_shape(result: Tensor, shape: tuple[int, ...], why: str) -> None:
    """Raise Wrong with both shapes unless `result` has `shape`."""
    found, shape = tuple(result.shape), tuple(shape)
    if found != shape:
        raise Wrong(f"Your result has shape {found}: expected {shape}, {why}.")


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
    if a.shape != b.shape:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)
