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
        mark = {"not attempted": "… Not attempted yet.", "wrong": "✗ Not yet.", "right": "✓ Correct."}
        return f"{mark[self.status]} {self.message}"


class NotAttempted(Exception):
    """The stub is still there."""


class Wrong(Exception):
    """A hint about what is wrong."""


def exercise(body: Callable[[Callable], str]) -> Callable[[Callable], Verdict]:
    """Make a check from a body that raises NotAttempted or Wrong, or returns a word on the right answer."""

    @wraps(body)
    def check(answer: Callable) -> Verdict:
        if not callable(answer):
            return Verdict("wrong", f"The check takes a function, but got {type(answer).__name__}.")
        state = torch.get_rng_state()
        try:
            return Verdict("right", body(answer))
        except NotAttempted:
            return Verdict(
                "not attempted", "It returned None: replace the `...` or add a `return`, then run this cell again."
            )
        except Wrong as hint:
            return Verdict("wrong", str(hint))
        finally:
            torch.set_rng_state(state)

    return check


def call(answer: Callable, *args: object) -> Tensor:
    """Call the reader's function: None means not attempted, an exception becomes a hint."""
    try:
        result = answer(*(a.clone() if isinstance(a, Tensor) and not a.requires_grad else a for a in args))
    except Exception as error:  # whatever the reader's code raises is the hint
        raise Wrong(f"Your function raised {type(error).__name__}: {error}") from error
    if result is None:
        raise NotAttempted
    if not isinstance(result, Tensor):
        raise Wrong(f"Your function returned {type(result).__name__}: expected a tensor.")
    return result


def expect_shape(result: Tensor, shape: tuple[int, ...], why: str) -> None:
    """Raise Wrong with both shapes unless `result` has `shape`."""
    if tuple(result.shape) != tuple(shape):
        raise Wrong(f"Your result has shape {tuple(result.shape)}: expected {tuple(shape)}, {why}.")


def expect_trainable(result: Tensor, true: Tensor, parameter: Tensor) -> None:
    """Raise Wrong unless `result`, equal in value to `true`, has the same gradient with respect to `parameter`."""
    if not result.requires_grad:
        raise Wrong("The value is right, but has no graph: create_graph=True lets the critic be trained on it.")
    try:
        got = torch.autograd.grad(result, parameter, allow_unused=True)[0]
    except RuntimeError:  # frozen parameters, or a freed graph
        got = None
    if got is None or not same(got, torch.autograd.grad(true, parameter)[0]):
        raise Wrong("The value is right, but its gradient is not the critic's: keep the graph of the slope.")


def same(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, for the float type of the worse of the two; shapes must agree."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)
