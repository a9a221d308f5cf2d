# The only entry: make demo, make test, make check, make bench.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
SOURCES := $(shell find src -type f -not -path '*/__pycache__/*') README.md

.PHONY: demo test check lint format bench docs clean

demo: $(VENV)/package  ## train, measure and report on handwritten digits
	$(BIN)/noiseproof demo

test: $(VENV)/dev $(VENV)/package  ## all tests, against the installed wheel
	$(BIN)/python -m pytest

check: lint  ## format, lint, types, fast tests
	$(BIN)/python -m pytest -q -m "not slow"

lint: $(VENV)/dev $(VENV)/package  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/package  ## what a noisy chip costs beside the clean forward pass
	$(BIN)/python benchmarks/throughput.py

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
