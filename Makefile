# Everything a developer runs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

venv: $(VENV)/.installed ## virtual environment with everything, from the locked requirements

demo: venv ## real images in a registry, synchronised and listed; Ctrl-C stops it (DEMO_ONESHOT=1: ends by itself)
	@$(BIN)/python -m demo.run

test: venv ## every test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: venv ## format, rules, types, floors, docstrings
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: venv ## format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: venv ## every benchmark, as JSON lines
	@for bench in $(basename $(notdir $(filter-out benchmarks/__init__.py benchmarks/_%,$(wildcard benchmarks/*.py)))); do \
	  $(BIN)/python -m benchmarks.$$bench --json || exit 1; done

lock: venv ## resolve the dependencies anew, for every supported Python
	@$(BIN)/python requirements/lock.py

clean: ## remove the virtual environment, the demo and the caches
	@rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
