# `make` alone lists the verbs. Everything lives in .venv, .venv-dev, .tools and data in this folder.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUN = .venv/bin
DEV = .venv-dev/bin
UP ?= --demo
KILLS ?= 1000
ON_POSTGRESQL = tests/authz tests/registry tests/gateway tests/hostile
SIDE_BY_SIDE = -n 3 --dist loadfile --no-loadscope-reorder
PIP = pip install --quiet --disable-pip-version-check --require-hashes
COMPILE = $(DEV)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --annotation-style=line

# Tests start hundreds of processes of ours; compiled anew in each, our modules would cost minutes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up install test test-servers check conformance faults bench lock clean

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-13s %s\n", $$1, $$2 }'

up: install ## start the door with the demo (UP="" leaves the demo away)
	@exec $(RUN)/ostiary up $(UP)

install: .venv/installed ## make .venv with the run-time dependencies, hashes checked

test: .venv-dev/installed ## every test that needs no root and no third-party server
	$(DEV)/python -m pytest -q $(SIDE_BY_SIDE) -m "not servers and not conformance and not faults" $(ARGS)

test-servers: .venv-dev/installed ## tests against real third-party servers, browsers and clients
	$(DEV)/python -m tests.servers.install
	$(DEV)/python -m pytest -q $(SIDE_BY_SIDE) -m servers $(ARGS)
	$(DEV)/python -m pytest -q $(SIDE_BY_SIDE) --postgresql -m "not servers and not conformance and not faults" $(ON_POSTGRESQL)

check: .venv-dev/installed ## format, lint, types, the direction of dependency, the wheel
	$(DEV)/ruff format --check .
	$(DEV)/ruff check .
	$(DEV)/mypy
	$(DEV)/lint-imports
	$(DEV)/python -m tests.shape.wheel

conformance: .venv-dev/installed ## the official MCP conformance suite, both revisions, all pairings
	$(DEV)/python -m tests.conformance $(ARGS)

faults: .venv-dev/installed ## kill the gateway KILLS times and look for a lost record
	KILLS=$(KILLS) $(DEV)/python -m pytest -q -o faulthandler_timeout=$$((600 + 3 * $(KILLS))) -m faults $(ARGS)

bench: .venv-dev/installed ## what a call costs, beside a plain reverse proxy (ARGS=--quick)
	$(DEV)/python -m benchmarks $(ARGS)

lock: .venv-dev/installed ## renew requirements/*.txt
	$(COMPILE) -o requirements/run.txt pyproject.toml requirements/run.in
	$(COMPILE) -o requirements/dev.txt requirements/dev.in
	$(COMPILE) -o requirements/ldap.txt requirements/ldap.in
	$(COMPILE) -o requirements/stdio.txt requirements/stdio.in

clean: ## remove environments, tools and caches; the data directory stays
	rm -rf .venv .venv-dev .tools dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: requirements/run.txt pyproject.toml
	@echo "making .venv with the locked run-time dependencies"
	@$(PYTHON) -m venv .venv
	@$(RUN)/$(PIP) -r requirements/run.txt
	@$(RUN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv-dev/installed: requirements/dev.txt pyproject.toml
	@echo "making .venv-dev with the locked development dependencies"
	@$(PYTHON) -m venv .venv-dev
	@$(DEV)/$(PIP) -r requirements/dev.txt
	@$(DEV)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
