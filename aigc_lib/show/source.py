"""Show the library's own source code on the page, so that chapters never copy it."""

import inspect
from textwrap import dedent

from IPython.display import Markdown


def show_source(thing: object) -> Markdown:
    """The source of a function, class or method, highlighted.

    Above it stands its place in the library.
    """
    try:
        code, line = inspect.getsourcelines(thing)
        place = inspect.getmodule(thing).__name__
    except (TypeError, OSError, AttributeError) as error:
        raise ValueError(
            f"{thing!r}: expected a function, class or method with Python source"
        ) from error
    text = dedent("".join(code)).rstrip()
    return Markdown(f"`{place}`, line {line}:\n\n```python\n{text}\n```")
