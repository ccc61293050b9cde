"""Demonstrate a bug: the cell fails if the bug does not show."""

import re
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def expect_error(kind: type[Exception], match: str) -> Iterator[None]:
    """Run a block that must raise `kind` with a message that `match` finds; print it.

    `match` is a regular expression. Raises AssertionError when the block ends without
    that error: then the chapter's claim is wrong.
    """
    try:
        yield
    except kind as error:
        if not re.search(match, str(error)):
            raise AssertionError(
                f"expected a {kind.__name__} matching {match!r}, got: {error}"
            ) from error
        print(f"{kind.__name__}: {str(error).splitlines()[0]}")
        return
    raise AssertionError(
        f"expected a {kind.__name__} matching {match!r}, but nothing was raised"
    )
