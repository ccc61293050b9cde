"""What the warm-up's checks share."""

from collections.abc import Callable
from functools import wraps

import torch

from aigc_lib.exercises.verdict import Wrong, call, exercise


def question(repair: str) -> Callable:
    """Make a check whose hints end with the title of the chapter's section `repair`."""

    def decorate(body):
        @exercise
        @wraps(body)
        def check(answer):
            try:
                return body(answer)
            except Wrong as hint:
                end = "" if str(hint).endswith((".", "?", "!")) else "."
                raise Wrong(
                    f"{hint}{end} Repair: “{repair}”, further down in this chapter."
                ) from hint

        return check

    return decorate


def whole(answer: Callable, *args: int) -> int:
    """Call a function that returns an int, with the same verdicts as `call`."""
    results = []

    def keep(*args):
        results.append(answer(*args))
        return None if results[0] is None else torch.zeros(())

    call(keep, *args)
    size = results[0]
    if isinstance(size, bool) or not isinstance(size, int):
        kind = type(size).__name__
        raise Wrong(f"Your function returned {kind}: a size is a whole number, an int.")
    if abs(size) >= 2**31:
        raise Wrong(f"Your function returned {size}: no size here is that large.")
    return size
