# Two commands are enough: `make run` and `make test`. They need python3, make and a network the first time;
# nothing is installed outside this folder.

SHELL := /bin/sh
PYTHON3 ?= python3
BOOTSTRAP := @exec $(PYTHON3) platform/bootstrap.py
PYTHON := .venv/bin/python

run: ## set up, fill a demo region, serve on http://localhost:8000 (PORT=… another port, NODE=0 without browser parts)
	$(BOOTSTRAP) run

test: ready ## every test: on SQLite, on PostgreSQL and Redis, in a browser
	@exec $(PYTHON) tests/run.py test

check: ready ## style, types, import contract, migrations, translations, templates, lock files
	@exec $(PYTHON) tests/run.py check

browser: ready ## the browser tests alone (SHOTS=1 also takes the pictures of docs/screenshots)
	@exec $(PYTHON) tests/run.py browser

bench: ready ## the benchmarks, each beside its floor, to var/bench.json (DOCS=1 also to docs/performance.md; PARTS="pages storm" only those)
	@exec $(PYTHON) tests/load/bench.py $(PARTS)

soak: ready ## talk under fire: servers, bus and database killed at random (MINUTES=20, SEED=…; STACK=sqlite or postgres, else both)
	@exec $(PYTHON) tests/load/soak.py

services: ready ## PostgreSQL and Redis to develop against, until stopped
	@exec $(PYTHON) tests/services.py

words: ready ## collect the texts of the source into the catalogues of every language
	@$(PYTHON) platform/manage.py words extract

format: ready ## put Python and templates into the one style
	@.venv/bin/ruff check --fix --quiet . && .venv/bin/ruff format --quiet .
	@find templates -name '*.html' -exec .venv/bin/djade --target-version 6.1 {} +

lock: ## resolve the lock files again (UPGRADE=1: to the newest that fit)
	$(BOOTSTRAP) lock

clean: ## take away everything that was fetched or made, the database too
	rm -rf .tools .venv node_modules var platform/config/static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find platform/config/locale -name '*.mo' -delete

ready:
	$(BOOTSTRAP) test

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 11

.PHONY: run test check browser bench soak services words format lock clean ready help
