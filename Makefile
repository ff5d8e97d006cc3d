# make demo | test | install | check | bench | findings | test-latest | test-all | clean   (no target needs root)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two processes, each with a server of its own; a file stays whole, since its tests share what they made, and the long
# ones of the database come first, so that neither process is left alone with one.
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 12
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo install test test-latest test-all check bench findings clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^## //p' Makefile

## make install   the command cnngraph, in .venv
install: $(VENV)/.installed

## make demo      the whole chain on real digits, with a Neo4j of its own
demo: install
	@$(BIN)/cnngraph demo

$(VENV)/.installed: pyproject.toml constraints.txt scripts/install.sh
	@sh scripts/install.sh "$(PYTHON)" "$(VENV)" .
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	@sh scripts/install.sh "$(PYTHON)" "$(VENV)" ".[dev,py2neo,timm,onnx,bench]"
	@touch $@

## make test      unit, database and browser tests
test: $(VENV)/.developer
	@$(BIN)/python scripts/browser.py
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

## make test-latest   the tests of the database against the newest Neo4j that is locked; CNNGRAPH_TEST_CYPHER=25 for Cypher 25
test-latest: $(VENV)/.developer
	CNNGRAPH_SERVER=latest $(BIN)/python -m pytest -m db $(PARALLEL) --override-ini timeout=0

## make test-all  also what is too slow for every run
test-all: $(VENV)/.developer
	@$(BIN)/python scripts/browser.py
	$(BIN)/python -m pytest --override-ini timeout=0

## make check     ruff, mypy --strict, import-linter
check: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## make bench     speed and memory against the targets, as JSON in benchmarks/results
bench: $(VENV)/.developer
	$(BIN)/python benchmarks/run.py

## make findings  what surprised in other tools: still so? (fetches pinned packages)
findings:
	@sh scripts/findings.sh

## make clean     remove .venv and what tools left; the embedded server and models: cnngraph db clean
clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
