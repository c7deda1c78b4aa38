# Everything a person does with this repository; `make help` lists it.
.DEFAULT_GOAL := help
# Recipes end by themselves when a command fails: make 3.81, which macOS has, ignores .SHELLFLAGS.
.PHONY: help run demo test audit fuzz chaos lint lint-contracts format contracts lock evaluate bench up pin-images down backup restore version release-notes clean

# The newest Python from 3.11 on, unless PYTHON names one.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
NEEDS_PYTHON = [ -n "$(PYTHON)" ] || { echo "This needs Python 3.11 or newer; set PYTHON=<path of one>." >&2; exit 1; }
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: .venv/embedded ## start the whole backend in one process at http://127.0.0.1:8000 (PORT=… chooses another)
	@exec $(BIN)/python -m deploy.embedded

demo: .venv/embedded ## submit a photo pair to a backend of its own, and show the report
	@exec $(BIN)/python -m deploy.embedded.demo

test: .venv/dev ## run all tests, or TESTS="tests/unit …"; without Docker all but those that need servers (REQUIRE_DOCKER=1 forbids that)
ifdef TESTS
	@$(BIN)/python -m pytest $(TESTS)
else
	@$(BIN)/python -m pytest tests/unit --numprocesses=auto --dist=worksteal
	@$(BIN)/python -m pytest --ignore=tests/unit
endif

lint: .venv/dev ## check style, types and imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lint-contracts: ## check contracts/openapi.yaml and contracts/asyncapi.yaml with their official linters (needs Node.js)
	@cd tests/contract/linters && npm ci --ignore-scripts --no-audit --no-fund --silent && npm run --silent lint

format: .venv/dev ## put the code into its form
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

evaluate: .venv/dev ## measure the thermographic analysis on synthetic scenes (and on THERMAL_PICTURES, a folder)
	@$(BIN)/python -m tests.evaluation

chaos: .venv/dev ## inject faults while phones work, and check that nothing is lost (MINUTES=2 SEED=…; needs Docker)
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),2) $(if $(SEED),--seed $(SEED)) $(CHAOS)

fuzz: .venv/dev ## try the API against its document for MINUTES=5 or with EXAMPLES=…, or that at BASE_URL=… with TOKEN=…
	@$(BIN)/python -m tests.fuzz

bench: .venv/dev ## measure the speed of the whole system with real servers (MEASURES="polls burst" for some, BASE=file.json compares)
	@$(BIN)/python -m tests.benchmarks $(MEASURES) $(if $(BASE),--base $(BASE))

contracts: .venv/dev ## write the schemas, openapi.yaml and asyncapi.yaml from the code
	@$(BIN)/python -m deploy.documents

lock: .venv/dev ## choose the newest packages that pyproject.toml allows, and lock them with hashes
	@for extra in gateway auth tasks analysis embedded dev; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header --upgrade --extra $$extra -o locks/$$extra.txt pyproject.toml || exit 1; done

audit: .venv/dev ## look up known vulnerabilities of the locked packages; says so when it could not
	@$(BIN)/python -m deploy.audit

up: .env ## start everything with Docker Compose, and wait until it is ready
	@docker compose up --detach --build --wait

pin-images: .env ## write the digests of the public images into .env, so that a moved tag changes nothing (needs a registry)
	@deploy/docker/pin_images.sh

down: ## stop it; the data stays in its volumes
	@docker compose down

backup: ## write the records and photos of the running Compose system into a new folder, TO=…
	@deploy/docker/backup.sh "$(TO)"

restore: ## put a backup, FROM=…, into an empty Compose system and start it (OVERWRITE=1: into any)
	@OVERWRITE=$(OVERWRITE) deploy/docker/restore.sh "$(FROM)"

.env: .env.example
	@if [ -s .env ]; then \
		touch .env && echo ".env.example is newer than .env: look whether a setting is missing."; \
	else \
		$(NEEDS_PYTHON); \
		(umask 077 && $(PYTHON) deploy/docker/make_env.py > .env.new) && mv .env.new .env && \
		echo "Made .env with random secrets; put your GOOGLE_CLIENT_IDS into it."; \
	fi

version: ## print the version of the release
	@$(NEEDS_PYTHON)
	@$(PYTHON) -c 'from contracts.version import VERSION; print(VERSION)'

release-notes: ## print what the changelog says of this version
	@$(NEEDS_PYTHON)
	@$(PYTHON) -m deploy.release_notes

clean: ## remove the environment and what tools have left; data and .env stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache out

.venv/bin/python:
	@$(NEEDS_PYTHON)
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv; \
		echo "$(PYTHON) cannot make environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

.venv/embedded: locks/embedded.txt | .venv/bin/python
	@echo "Installing into .venv (once) …"
	@$(PIP_INSTALL) -r locks/embedded.txt
	@touch $@

.venv/dev: locks/dev.txt | .venv/bin/python
	@echo "Installing into .venv (once) …"
	@$(PIP_INSTALL) -r locks/dev.txt
	@touch $@ .venv/embedded
