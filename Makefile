# Every everyday task. `make` lists them; each prepares by itself what it needs.

PYTHON  ?= python3
WORKERS ?= 2
export PYTHON

RUN     := .venv/bin/python -m
PREPARE := deploy/requirements/install

.DEFAULT_GOAL := help
.PHONY: help run test prove check format bench bench-short bench-limits bench-ledger bench-auth bench-reports lock clean
.SILENT:

help: ## List these tasks
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the gateway on 127.0.0.1:8080, operators on 127.0.0.1:9090 (GATEWAY_* apply; Ctrl-C drains and stops)
	$(PREPARE) runtime
	exec $(RUN) gateway serve --welcome

test: ## Run every test
	$(PREPARE) dev
	$(RUN) pytest -q -n $(WORKERS)

prove: ## Prove limits, budgets, the ledger, credentials and revocation at full size (some minutes)
	$(PREPARE) dev
	$(RUN) pytest tests/proofs --full -v

check: ## Lint, format, types, import layers and the repository's promises
	$(PREPARE) dev
	$(RUN) ruff check .
	$(RUN) ruff format --check -q .
	$(RUN) mypy
	$(RUN) pytest -q tests/repo

format: ## Put imports in order and format
	$(PREPARE) dev
	$(RUN) ruff check --select I --fix -q .
	$(RUN) ruff format -q .

bench: ## Measure against nginx and a bare aiohttp relay (about 15 min on two cores)
	$(PREPARE) dev
	$(RUN) tests.bench

bench-short: ## The same table from shorter runs (about 5 min)
	$(PREPARE) dev
	$(RUN) tests.bench --short

bench-limits: ## Measure decisions about limits alone: in memory, in Redis, unbatched (a minute)
	$(PREPARE) dev
	$(RUN) tests.bench.decisions

bench-ledger: ## Measure the ledger alone, at 1,000 attempts a second: SQLite, PostgreSQL (3 min)
	$(PREPARE) dev
	$(RUN) tests.bench.ledger

bench-auth: ## Measure letting callers in: keys, tokens, policies, with 10 and 100,000 keys (a minute)
	$(PREPARE) dev
	$(RUN) tests.bench.authentication

bench-reports: ## Measure reports over ten million ledger lines, which takes 15 GB and as many minutes
	$(PREPARE) dev
	$(RUN) tests.bench.reports

COMPILE = .venv/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(LOCKFLAGS)

lock: ## Pin the newest dependencies that pyproject.toml allows (LOCKFLAGS=--upgrade)
	$(PREPARE) runtime
	test -x .venv/lock/bin/uv || { $(RUN) venv .venv/lock && .venv/lock/bin/pip install -q uv; }
	$(COMPILE) pyproject.toml -o deploy/requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra dev -c deploy/requirements/runtime.txt -o deploy/requirements/dev.txt

clean: ## Remove what was installed and built; var/ (keys, ledger) stays
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/partners/node/node_modules
	find gateway tests -name __pycache__ -type d -exec rm -rf {} +
