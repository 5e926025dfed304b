# What people do with LedgerLB. Every target installs what it needs; what is built or downloaded is kept in .cache/
# (LEDGERLB_CACHE_DIR names another place), so that a second run is quick.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
CACHE := $(abspath $(or $(LEDGERLB_CACHE_DIR),.cache))
export LEDGERLB_CACHE_DIR := $(CACHE)
export UV_CACHE_DIR ?= $(CACHE)/uv
export RUFF_CACHE_DIR := $(CACHE)/ruff
# Some containers forbid compiled modules. Without them each of the many processes of the tests compiles all it imports.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKS := requirements-build.lock requirements-dev.lock
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
SCRIPTS := .ci/run $(wildcard scripts/*.sh tests/images/*/*.sh tests/bench/*.sh)

.PHONY: help venv lock demo demo-dataplane lint docs format test test-unit mutate fuzz images up down bench chart clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Python ---------------------------------------------------------------------------------------------------

venv: $(STAMP) ## make .venv with every package, versions and hashes as locked
	@:

$(STAMP): $(LOCKS) $(MEMBERS:%=%/pyproject.toml)
	@PYTHON='$(PYTHON)' scripts/venv.sh $(VENV) $(MEMBERS)
	@touch $@

UPGRADE ?=
COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
OWN := $(foreach name,$(notdir $(MEMBERS)),--no-emit-package ledgerlb-$(name))
lock: UV = $(shell PYTHON='$(PYTHON)' scripts/venv.sh --uv)
lock: ## write the locks again (UPGRADE=1: with the newest versions)
	@echo "lock: resolving what runs, what tests, and what builds"
	@$(COMPILE) pyproject.toml $(OWN) -o requirements.lock
	@$(COMPILE) pyproject.toml --group dev -c requirements.lock $(OWN) -o requirements-dev.lock
	@printf 'uv\nhatchling\n' | $(COMPILE) - -c requirements-dev.lock -o requirements-build.lock

# --- Trying, checking, testing ----------------------------------------------------------------------------------

demo: venv ## run examples/quickstart through the whole pipeline and print what came of it
	@$(RUN)/python -m ledgerlb.cli.demo

demo-dataplane: venv ## spread real flows over pods in network namespaces, beside plain ECMP (root)
	@scripts/system-packages.sh
	@$(RUN)/python -m tests.dataplane.demo

lint: venv ## ruff, mypy, the layer contracts, shell syntax, the Helm chart
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@echo "lint: mypy (a minute at first)"
	@$(RUN)/mypy libs services scripts
	@$(RUN)/lint-imports --cache-dir $(CACHE)/import-linter
	@for script in $(SCRIPTS); do bash -n "$$script"; done
	@$(RUN)/python scripts/docs.py --check
	@$(RUN)/python scripts/drawings.py --check
	@$(MAKE) chart

chart: ## lint the Helm chart and render it
	@scripts/helm.sh lint --strict helm/ledgerlb
	@scripts/helm.sh template ledgerlb helm/ledgerlb >/dev/null && echo "chart: renders"

docs: venv ## write what follows from the code into docs/
	@$(RUN)/python scripts/docs.py
	@$(RUN)/python scripts/drawings.py

format: venv ## ruff's formatting and mechanical fixes
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix-only --quiet .

# Workers: one a core, as far as pytest-xdist counts them. PYTEST_ARGS=-n0 runs in one process (for --pdb).
PYTEST_ARGS ?=
test: venv images ## everything: also a real broker, a real API server, network namespaces
	@scripts/system-packages.sh
	@scripts/compose.sh version >/dev/null # where it has to be built, that takes longer than a test may
	@$(RUN)/pytest -n auto --dist loadscope --no-loadscope-reorder --durations=10 $(PYTEST_ARGS)

test-unit: venv ## the tests that need neither containers nor root
	@$(RUN)/pytest -q -n auto --dist worksteal --durations=10 -m 'not integration and not dataplane' $(PYTEST_ARGS)

MUTATE_ARGS ?=
mutate: venv ## break libs/core on purpose, and list the faults that no test notices
	@$(RUN)/python scripts/mutate.py $(MUTATE_ARGS)

FUZZ_SECONDS ?= 300
FUZZ_SEED ?=
fuzz: venv ## throw mutants at every decoder (FUZZ_SECONDS, FUZZ_SEED); failing input is kept in .cache/fuzz
	@$(RUN)/python -m tests.attacks.fuzz --seconds $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

bench: venv images ## measure; results go to docs/benchmarks.md
	@scripts/system-packages.sh
	@$(RUN)/python -m tests.bench

# --- Containers -------------------------------------------------------------------------------------------------

images: ## have the broker's and the API server's images: pulled, or built where no registry answers
	@scripts/build-images.sh

up: venv ## run all services on Kafka against a cluster: make up KUBECONFIG=PATH
	@scripts/up.sh '$(KUBECONFIG)'

down: ## stop what "make up" started (VOLUMES=1: forget the log as well)
	@scripts/down.sh $(if $(VOLUMES),--volumes)

clean: ## remove the virtual environment, caches and build results; images and the engine stay
	rm -rf $(VENV) .cache/mypy .cache/ruff .cache/import-linter .cache/pytest .hypothesis dist
	find . -name __pycache__ -type d -not -path './.cache/*' -prune -exec rm -rf {} +
