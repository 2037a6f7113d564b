# Needs Python 3.11 or newer and make. `make up` and `make test` are one command each on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
FILE ?= examples/01-one-alert/breakers.yaml
PORT ?= 8080
LOCK := $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --python-version 3.11 --upgrade
PIP := -m pip install -q --disable-pip-version-check

.PHONY: up help venv test test-long test-cluster mutants cluster check words bench schemas lock clean

up: venv ## Run everything here: embedded Valkey, local broker, sources and functions on 127.0.0.1:8080 (PORT=, FILE=)
	$(BIN)/fuseboard up -f $(FILE) --port $(PORT)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' Makefile

venv: .venv/.run ## Set up; leaves .venv/bin/fuseboard

# Compiled modules are kept, whatever the environment says: each of the suite's processes would compile them again.
test test-long: export PYTHONDONTWRITEBYTECODE :=

# More workers than cores, since most of them wait for something; who has nothing left to do takes tests from the others.
test: .venv/.dev ## The fast suite: at most 2 minutes on 2 cores
	$(BIN)/python -m pytest -n 6 --dist worksteal -q --ignore tests/cluster

test-long: .venv/.dev ## The proofs in their long form: a million steps of the store and its twin, the model with all its faults
	$(BIN)/python -m pytest -n auto -q -o timeout=3600 --long --steps 1000000 tests/proofs/test_twin.py tests/proofs/model \
		tests/proofs/test_failover_interleaved.py

mutants: .venv/.dev ## Change what decides, one small change at a time: a test must notice, or a reason is in tests/proofs/mutation/survivors.txt
	$(BIN)/python -m tests.proofs.mutation

test-cluster: .venv/.dev ## The tests on a real cluster; the first time it is built, from Go modules
	$(BIN)/python -m tests.cluster.programs
	$(BIN)/python -m pytest -q -o timeout=300 tests/cluster

cluster: .venv/.dev ## Leave a cluster running to play with; prints its kubeconfig
	$(BIN)/python -m tests.cluster

check: .venv/.dev words ## Lint, format, types, import contracts, plain English
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

words: .venv/.dev ## Check that docstrings, comments, messages and pages are plain English (tests/words.py)
	$(BIN)/python -m tests.words

bench: .venv/.bench ## Ratios to floors and peers, one line per metric; JSON in bench/results/
	$(BIN)/python -m bench

schemas: .venv/.run ## Write fuseboard/events/schemas/*.json and the CRD from the types
	$(BIN)/python -m fuseboard.events.schemas
	$(BIN)/fuseboard schema > knative/base/circuitbreakers.yaml

lock: .venv/.dev ## Renew the locks
	$(BIN)/python $(PIP) uv
	$(LOCK) pyproject.toml --group build -o requirements.lock
	$(LOCK) -c requirements.lock pyproject.toml --group build --group dev -o requirements-dev.lock
	$(LOCK) bench/peers.in -o bench/peers.lock

clean: ## Remove what make made
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fuseboard needs Python 3.11 or newer: set PYTHON")'
	$(PYTHON) -m venv .venv

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	$(BIN)/python $(PIP) --require-hashes -r requirements.lock
	$(BIN)/python $(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/.dev: requirements-dev.lock .venv/.run
	$(BIN)/python $(PIP) --require-hashes -r requirements-dev.lock
	touch $@

.venv/.bench: bench/peers.lock .venv/.dev
	$(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python $(PIP) --require-hashes -r bench/peers.lock
	touch $@
