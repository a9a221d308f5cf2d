# The only entry: make demo, make test, make check, make bench, make docs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
SOURCES := $(shell find src -type f -not -path '*/__pycache__/*') README.md

# A process for each core, each with one thread (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 8 --durations 10
LATER := cluster or browser or real or slow or gpu

.PHONY: demo test test-rest test-all check lint format bench bench-tests docs clean

demo: $(VENV)/package  ## train, measure and report on handwritten digits
	$(BIN)/noiseproof demo

test: $(VENV)/dev $(VENV)/package  ## what needs nothing but a few minutes, against the installed wheel
	$(PYTEST) --dist worksteal -m "not ($(LATER))"

test-rest: $(VENV)/dev $(VENV)/package  ## what needs a cluster, a browser, real data, a GPU, or time
	$(PYTEST) --dist loadgroup -m "$(LATER)"

test-all: test test-rest  ## all tests, each once

check: lint test  ## format, lint, types, tests

lint: $(VENV)/dev $(VENV)/package  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/package  ## what a noisy chip costs beside the clean forward pass
	$(BIN)/python benchmarks/throughput.py

bench-tests: $(VENV)/dev $(VENV)/package  ## how long `make test` takes; beside L=2 endless loops, N=3 times
	benchmarks/suite_under_load.sh $(or $(N),1) $(or $(L),0) $(or $(TARGET),test)

docs: $(VENV)/docs $(VENV)/package  ## the site, in build/docs; every warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

# Stamps: the dependencies once, the package again whenever a source changes.
$(VENV)/base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the dependencies: a few minutes and about 6 GB the first time."
	$(PIP) install --disable-pip-version-check -c constraints.txt .
	touch $@

$(VENV)/dev: $(VENV)/base
	$(PIP) install --disable-pip-version-check -q -c constraints.txt '.[dev]'
	touch $@

$(VENV)/docs: $(VENV)/base
	$(PIP) install --disable-pip-version-check -q -c constraints.txt '.[docs]'
	touch $@

$(VENV)/package: $(VENV)/base $(SOURCES)
	$(PIP) install --disable-pip-version-check -q --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
