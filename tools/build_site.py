"""Execute the chapters (from the cache where nothing changed) and build the site; warnings are errors."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build() -> bool:
    """Run Jupyter Book on the repository; True when there was no warning."""
    command = ["jupyter-book", "build", ".", "--all", "-W", "-n", "--keep-going"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.setdefault("AIGC_PRECISION", "fp32")
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def main() -> None:
    start = time.perf_counter()
    chapters = len(list((ROOT / "chapters").glob("*.md")))
    print(f"Building the site: {chapters} chapter(s) to execute where the cache has no result yet.")
    if not build():
        sys.exit("The site has problems; they are named above.")
    page = ROOT / "_build" / "html" / "index.html"
    print(f"Done in {time.perf_counter() - start:.0f} s. Open {page.as_uri()}")


if __name__ == "__main__":
    main()
