# Everything a person does here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
BENCH_VENV := .venv-bench
BENCH_INSTALLED := $(BENCH_VENV)/.installed
DOCS_VENV := .venv-docs
DOCS_INSTALLED := $(DOCS_VENV)/.installed
AUDIT_VENV := .venv-audit
AUDIT_INSTALLED := $(AUDIT_VENV)/.installed
CASES ?=
QUICK ?=
RUNS ?= 2000
# Tests that start processes of their own share two cores badly beyond this. In the order of the
# folders the many small tests come last, and no core waits for the other.
TEST_WORKERS ?= 2

.PHONY: help setup run ui monitor down prepare train register forecast evaluate doctor \
	test test-services lint format docs audit sbom build bench soak lock screenshots calendars clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-14s %s\n", $$1, $$2}'

setup: $(INSTALLED) ## Create the virtual environment from the lock file

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}; try: make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) (once; one to three minutes) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

run: $(INSTALLED) ## Everything: local S3, prices, features, models, forecasts, RMSE on the sample
	@$(BIN)/stock-assets run

ui: $(INSTALLED) ## Dagster's and MLflow's pages, until Ctrl-C
	@exec $(BIN)/stock-assets ui

monitor: $(INSTALLED) ## Debian's Prometheus, Pushgateway, Alertmanager with our rules, until Ctrl-C
	@exec $(BIN)/stock-assets monitor

down: $(INSTALLED) ## Stop what a killed run or page left behind
	@$(BIN)/stock-assets down

prepare: $(INSTALLED) ## Prices, features, train and test set, for the newest session and month
	@$(BIN)/stock-assets stage prepare

train: $(INSTALLED) ## Tune and fit the newest month's model
	@$(BIN)/stock-assets stage train

register: $(INSTALLED) ## Register it; the gate approves or rejects
	@$(BIN)/stock-assets stage register

forecast: $(INSTALLED) ## Forecast from the newest session's close
	@$(BIN)/stock-assets stage forecast
	@$(BIN)/stock-assets forecast

evaluate: $(INSTALLED) ## Score the forecasts of the newest session
	@$(BIN)/stock-assets stage evaluate

doctor: $(INSTALLED) ## Check settings, source, store, registry, metrics
	@$(BIN)/stock-assets doctor

test: $(INSTALLED) ## Every test that needs nothing but Python packages
	@$(BIN)/python -m pytest stock_assets_tests --ignore stock_assets_tests/services \
		--numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-services: $(INSTALLED) ## Tests against Debian's servers and Chromium (see docs/commands.md)
	@$(BIN)/python -m pytest stock_assets_tests/services --numprocesses $(TEST_WORKERS) --dist loadfile

lint: $(INSTALLED) ## Style, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(INSTALLED) ## Format and sort imports
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

docs: $(DOCS_INSTALLED) ## The site of README and docs, with strict links, into var/site
	@PYTHONPATH=. $(DOCS_VENV)/bin/python -m stock_assets_tests.docs_site

$(DOCS_INSTALLED): requirements-docs.lock
	@echo "Setting up $(DOCS_VENV) (once; some seconds) …"
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--require-hashes --requirement requirements-docs.lock
	@touch $@

audit: $(INSTALLED) $(AUDIT_INSTALLED) ## Known faults of what is locked (asks a database on the net)
	@# Among its rules are those of bandit (S).
	@$(BIN)/ruff check --quiet stock_assets
	@$(AUDIT_VENV)/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip \
		--strict --progress-spinner off

sbom: $(INSTALLED) $(AUDIT_INSTALLED) ## What is installed, as CycloneDX, into dist/sbom.json
	@mkdir -p dist
	@$(AUDIT_VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json $(BIN)/python

$(AUDIT_INSTALLED): requirements-audit.lock
	@echo "Setting up $(AUDIT_VENV) (once; some seconds) …"
	@$(PYTHON) -m venv $(AUDIT_VENV)
	@$(AUDIT_VENV)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--require-hashes --requirement requirements-audit.lock
	@touch $@

build: $(INSTALLED) ## The wheel and the source distribution, into dist/
	@$(BIN)/python -m hatchling build

bench: $(BENCH_INSTALLED) ## Speed and forecasts beside their rivals, into docs (CASES=features,judging QUICK=1)
	@PYTHONPATH=. $(BENCH_VENV)/bin/python -W ignore -m stock_assets_tests.benchmarks --cases "$(CASES)" $(if $(QUICK),--quick)

soak: $(INSTALLED) ## 2,000 daily runs in one process: what it keeps may not grow (RUNS=100)
	@PYTHONPATH=. $(BIN)/python -W ignore -m stock_assets_tests.benchmarks.soak --runs $(RUNS)

# The rivals pull in four times what the project needs: an environment of their own.
$(BENCH_INSTALLED): requirements-bench.lock
	@echo "Setting up $(BENCH_VENV) (once; some minutes) …"
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--require-hashes --requirement requirements-bench.lock
	@touch $@

lock: ## Resolve the lock files anew (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-strip-extras --extra dev --extra postgres --extra celery pyproject.toml \
		--output-file requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-strip-extras --constraints requirements.lock --extra postgres \
		--extra celery pyproject.toml --output-file requirements-deploy.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-strip-extras --constraints requirements.lock --extra postgres \
		--extra celery pyproject.toml stock_assets_tests/benchmarks/requirements.in \
		--output-file requirements-bench.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-strip-extras requirements-docs.in \
		--output-file requirements-docs.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --no-strip-extras requirements-audit.in \
		--output-file requirements-audit.lock

screenshots: $(INSTALLED) ## README's pictures, from what `make run` has left (needs Debian's chromium)
	@$(BIN)/python -m stock_assets_tests.screenshots

calendars: $(INSTALLED) ## Regenerate the packaged session tables
	@$(BIN)/python -m stock_assets.market.calendars

clean: ## Remove the environment and all local state (var/)
	@if [ -x $(BIN)/stock-assets ]; then $(BIN)/stock-assets down; fi
	@rm -rf $(VENV) $(BENCH_VENV) $(DOCS_VENV) $(AUDIT_VENV) dist var .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
