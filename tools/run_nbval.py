"""Run every prepared notebook with nbval, several at once with one thread each, at another seed than the site.

    python tools/run_nbval.py            all of _build/nbval
    python tools/run_nbval.py gan vae    some

A claim that does not hold fails its cell here (AIGC_STRICT=1).
"""

import argparse
import sys
import time

from pages import Executed
from parallel import KEEP_MEMORY, ONE_THREAD, jobs, run_all, stop_on_terminate
from prepare_nbval import BUILD, KERNEL

FLAGS = ["--nbval-lax", f"--nbval-kernel-name={KERNEL}", "--nbval-cell-timeout=300", "-q", "-p", "no:cacheprovider"]
SETTINGS = {"AIGC_SEED": "1", "AIGC_STRICT": "1", "PYTHONPATH": ""}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the prepared notebooks with nbval.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters (default: all)")
    names = parser.parse_args().names or sorted(path.name for path in (BUILD / "nbval").iterdir())
    stop_on_terminate()
    seconds = {page.split("/")[-1]: known["seconds"] for page, known in Executed().record.items()}
    names.sort(key=lambda name: -seconds.get(name, 1e9))  # the longest first, so that none is alone at the end
    command = [sys.executable, "-m", "pytest", *FLAGS]
    notebook = {name: BUILD / "nbval" / name / f"{name}.ipynb" for name in names}
    commands = {name: ([*command, str(notebook[name])], ONE_THREAD | KEEP_MEMORY | SETTINGS) for name in names}
    at_once = jobs()
    start, failed = time.perf_counter(), []
    print(f"nbval: {len(names)} notebooks, {at_once} at a time", flush=True)
    for done in run_all(commands, at_once, max(map(len, names))):
        good = done.status == 0
        print(f"  {done.name:12} {done.seconds:4.0f} s{'' if good else ', FAILED'}\n", end="", flush=True)
        if not good:
            failed.append(done.name)
            print(done.output)
    print(f"nbval: {len(names) - len(failed)} of {len(names)} passed in {time.perf_counter() - start:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
