# Everything a reader or contributor types. Needs git, make and Python 3.11 or newer; all else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
export AIGC_PRECISION := fp32
export PYTHONUNBUFFERED := 1
# Tests run two at a time with one thread each: two threads each on two processors would only wait for one another.
TWO := -n 2 --dist worksteal
.DELETE_ON_ERROR:
.PHONY: book serve test notebooks stress bench lock clean help

help:            ## show this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

book: .venv/ready   ## execute the chapters and build the site in _build/html
	@$(BIN)/python tools/build_site.py

serve: .venv/ready  ## the site on http://127.0.0.1:8000, rebuilt when a file changes
	@$(BIN)/python tools/serve.py

notebooks: .venv/ready  ## write notebooks/*.ipynb from chapters/*.md
	@$(BIN)/python tools/make_notebooks.py

test: .venv/ready   ## everything that CI checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/python -m pytest tests --ignore=tests/site $(TWO)
	@$(BIN)/python tools/build_site.py
	@$(BIN)/python tools/prepare_nbval.py
	@$(BIN)/python -m pytest tests/site $(TWO)
	@$(BIN)/python tools/run_nbval.py

stress: .venv/ready ## run chapters at many seeds, threads and instruction sets: CHAPTERS="gan vae" RUNS=8
	@$(BIN)/python tools/stress.py $(CHAPTERS) --runs $(or $(RUNS),8)

bench: .venv/ready  ## race our recipes against published baselines at equal time; run nothing else meanwhile
	@env -u AIGC_PRECISION $(BIN)/python tools/bench/run.py $(BENCH)

lock: .venv/ready   ## renew requirements.lock (torch stays as it is: edit its line by hand first)
	@$(BIN)/python tools/lock.py

clean:           ## remove what was built, keep .venv
	rm -rf _build dist build aigc_lib.egg-info

# Made last, so an interrupted installation is taken up again.
.venv/ready: requirements.lock pyproject.toml
	@sh tools/make_venv.sh $(PYTHON)
	@touch .venv/ready
