"""Build the site, serve it on loopback, and build it again whenever a source changes."""

import argparse

from build_site import build
from livereload import Server
from pages import ROOT

WATCHED = ["chapters/*.md", "book/**/*", "aigc_lib/**/*.py", "_config.yml", "_toc.yml"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the site on this machine only.")
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    build()  # with problems too: they are printed, and the next change builds again
    server = Server()
    for pattern in WATCHED:
        server.watch(str(ROOT / pattern), build)
    server.serve(root=str(ROOT / "_build" / "html"), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
