"""Run commands, several at once with one thread each, and print a line when each starts and ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

GIB = 2**30
MEMORY = 1.5 * GIB  # what one chapter may take: the largest of the first five was measured at 1.4 GiB
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Memory that a step gives back is kept for the next one: 5 to 10 % faster here. Other C libraries than glibc ignore it.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32 - 1)}


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its name, exit status, seconds, and all it printed."""

    name: str
    status: int
    seconds: float
    output: str


def jobs() -> int:
    """As many as there are processors, and as memory allows; one where they would share a GPU.

    The environment variable AIGC_JOBS overrides.
    """
    wanted = os.environ.get("AIGC_JOBS")
    if wanted is not None:
        if not wanted.isdecimal() or int(wanted) < 1:
            sys.exit(f"AIGC_JOBS={wanted!r}: expected a whole number of at least 1")
        return int(wanted)
    if os.environ.get("AIGC_DEVICE", "").startswith("cuda"):
        return 1
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(processors, int(memory / MEMORY)))


def run_all(commands: dict[str, tuple[list[str], dict[str, str]]], at_once: int, width: int = 0) -> Iterator[Finished]:
    """Run commands in their order, `at_once` at a time, and yield each as it ends.

    commands: {name: (its words, what is added to this process's environment)}; width: of the longest name.
    When the caller stops (Ctrl-C, an exception), what runs is terminated and what waits is never started.
    """
    alive: set[subprocess.Popen] = set()
    stopped = False

    def run(name: str, words: list[str], extra: dict[str, str]) -> Finished | None:
        if stopped:
            return None
        print(f"  {name:{width}} starts\n", end="", flush=True)  # one write: two threads may print at once
        start = time.perf_counter()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(words, env={**os.environ, **extra}, **pipes)
        alive.add(process)
        output, _ = process.communicate()
        alive.discard(process)
        return Finished(name, process.returncode, time.perf_counter() - start, output)

    pool = ThreadPoolExecutor(at_once)
    try:
        for future in as_completed([pool.submit(run, name, *rest) for name, rest in commands.items()]):
            yield future.result()
    finally:
        stopped = True
        for process in list(alive):
            process.terminate()
        pool.shutdown(cancel_futures=True)


def stop_on_terminate() -> None:
    """Make SIGTERM end this process like Ctrl-C, so that children are stopped too."""

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
