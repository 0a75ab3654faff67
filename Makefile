# `make run` and `make test` are all the set-up there is.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: run test lint bench soak pictures clean

run: .venv/.installed
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/layerlab; \
	else echo "No terminal here, so no application: running 'layerlab demo' instead."; exec $(BIN)/layerlab demo; fi

# Two processes: most tests wait for something most of the time, and more of them would want memory for as many torches.
test: .venv/.installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed-dev
	$(BIN)/python -m tests.benchmarks

soak: .venv/.installed-dev
	$(BIN)/python -m pytest -m soak --timeout 1800 -s

# What the README shows, taken from the application as it is.
pictures: .venv/.installed
	$(BIN)/python -m docs.pictures
	$(BIN)/python -m docs.keys

clean:
	rm -rf .venv

# The stamps are older than pyproject.toml only when something may have to be installed.
.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "layerlab needs Python 3.11 or newer, and found none. Set PYTHON=/path/to/python."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
