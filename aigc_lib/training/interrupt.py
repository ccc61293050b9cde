"""Ctrl-C between two steps, never within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def one_more_step() -> Iterator[Callable[[], bool]]:
    """Hold back the first Ctrl-C; the function given tells whether there was one.

    So a step that runs is finished, and no half-updated state is taken for a whole one.
    A second Ctrl-C stops at once. Where the signal is not Python's to handle (another
    thread, a handler of somebody else's, a background job that ignores it) nothing is
    held back.
    """
    asked = False

    def note(number, frame):
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    mine = in_main_thread and before is signal.default_int_handler
    if mine:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)
