# Each target sets up what it needs; nothing has to be activated. `make help` lists them.
#   make reproduce PROFILE=full JOBS=2 RESULTS=/data/results OVERRIDES="budget.epochs=2 seed=0,1"
PROFILE ?= quick
JOBS    ?=
RESULTS ?= results
OVERRIDES ?=

VENV    := .venv
PYTHON  := $(VENV)/bin/python
SYSTEM_PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,\
	$(if $(shell $(p) -c 'import sys; print(sys.version_info[:2] >= (3, 11))' 2>/dev/null | grep True),$(p))))
# Made when the packages of a lock are installed; a changed lock or pyproject.toml installs again.
READY      := $(VENV)/.ready
READY_TEST := $(VENV)/.ready-test

.DEFAULT_GOAL := help
.PHONY: help setup reproduce reference report status test test-all lint bench audit clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

reproduce: $(READY)  ## run the experiments and write the report [PROFILE=quick|full JOBS=cores]
	@$(PYTHON) -m fracpool.reproduce $(PROFILE) $(if $(JOBS),--jobs $(JOBS)) --results "$(RESULTS)" \
		$(foreach o,$(OVERRIDES),--override $(o))

reference: $(READY)  ## go on with the full study in results/reference, which is committed (hours)
	@$(PYTHON) -m fracpool.reproduce full --into reference $(if $(JOBS),--jobs $(JOBS)) --override predictions=classes

report: $(READY)  ## write the report again from the records that are there
	@$(PYTHON) -m fracpool.report $(RESULTS)/$(PROFILE)

status: $(READY)  ## say what is done, running, left and failed [RESULTS=results]
	@$(PYTHON) -m fracpool.status "$(RESULTS)"

test: $(READY_TEST)  ## the quick tests (minutes)
	@$(PYTHON) -m pytest -q -n auto --maxprocesses 4 --dist loadfile

test-all: $(READY_TEST)  ## all tests
	@$(PYTHON) -m pytest -q -m ""

lint: $(READY_TEST)  ## ruff and mypy
	@$(PYTHON) -m ruff check src tests benchmarks
	@$(PYTHON) -m ruff format --check --quiet src tests benchmarks
	@$(PYTHON) -m mypy

bench: $(READY_TEST)  ## measure our pooling beside the peers'
	@$(PYTHON) benchmarks/bench.py

audit: $(READY)  ## look the locked packages up in the databases of known vulnerabilities
	@$(VENV)/bin/uv tool run --quiet pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

setup: $(READY_TEST)  ## only set up .venv

clean:  ## delete .venv (results stay)
	rm -rf $(VENV)

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh "$(SYSTEM_PYTHON)" $(VENV) requirements.lock
	@touch $@

$(READY_TEST): requirements-test.lock pyproject.toml scripts/setup.sh
	@scripts/setup.sh "$(SYSTEM_PYTHON)" $(VENV) requirements-test.lock
	@touch $(READY) $@
