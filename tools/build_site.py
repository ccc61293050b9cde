"""Execute the pages that are out of date, several at once, then build the site; warnings are errors.

Whatever happens in a cell, there is a site to open at the end. A cell that failed and a claim that did not hold
are named below it, and the exit status is 1.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from pages import ROOT, Executed, only_one, with_code
from parallel import jobs, stop_on_terminate


def execute(root: Path = ROOT) -> Executed:
    """Bring the execution cache up to date, with a line for each page that starts or ends."""
    executed, pages = Executed(root), with_code(root)
    reasons = {page: why for page in pages if (why := executed.reason(page))}
    for page, why in reasons.items():
        print(f"  {page}: {why}")
    at_once = jobs()
    print(f"{len(reasons)} of {len(pages)} pages to execute, {at_once} at a time", flush=True)
    for line in executed.run(list(reasons), at_once):
        print(f"{line}\n", end="", flush=True)
    return executed


def render(root: Path = ROOT) -> bool:
    """Run Jupyter Book on the repository; True when there was no warning."""
    command = ["jupyter-book", "build", ".", "--all", "-W", "-n", "--keep-going"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=root, env={**os.environ, "PATH": path}).returncode == 0


def build(root: Path = ROOT) -> bool:
    """Execute and render; says what is wrong, where the site is, and returns True when nothing is wrong."""
    start = time.perf_counter()
    os.environ.setdefault("AIGC_PRECISION", "fp32")
    with only_one(root):
        executed = execute(root)
        print(f"Executed in {time.perf_counter() - start:.0f} s; now the pages.", flush=True)
        clean, problems = render(root), executed.problems()
    for problem in problems:
        print(f"\n{'A cell failed' if problem.failed else 'A claim does not hold'}: {problem}")
    if not clean:
        print("\nJupyter Book warned, see above.")
    page = root / "_build" / "html" / "index.html"
    good = clean and not problems
    print(f"\nDone in {time.perf_counter() - start:.0f} s{'' if good else ', with problems'}. Open {page.as_uri()}")
    return good


def main() -> None:
    stop_on_terminate()
    try:
        sys.exit(0 if build() else 1)
    except KeyboardInterrupt:
        sys.exit("\nStopped. What was finished is kept: the next build goes on from there.")


if __name__ == "__main__":
    main()
