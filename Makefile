# What can be done here. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-chain demo-siblings test unit lint format failures-page bench venv image wheels clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole job as a consumer sees it, on this machine
	@scripts/venv.sh
	@scripts/engine.sh run scripts/demo.sh

demo-chain: ## publish, order and compute for money on a chain of one's own
	@scripts/venv.sh devchain
	@scripts/engine.sh run scripts/demo-chain.sh

demo-siblings: ## four other job APIs on the same engine, an example of each
	@scripts/venv.sh
	@scripts/engine.sh run scripts/demo-siblings.sh

test: ## all checks and all tests, those on a real Docker Engine included
	@scripts/venv.sh test
	@scripts/engine.sh run scripts/test.sh

unit: ## the tests that need no Docker Engine
	@scripts/venv.sh test
	@.venv/bin/python -m pytest -q -m 'not docker'

lint: ## formatter, linter, types, layers
	@scripts/venv.sh test
	@scripts/lint.sh

format: ## format the code
	@scripts/venv.sh test
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

failures-page: ## docs/failures.md, from the table of failures in the code
	@scripts/venv.sh
	@.venv/bin/python scripts/failures_page.py docs/failures.md

bench: ## speed against Docker's own and a bare HTTP server's, as ratios
	@scripts/venv.sh test
	@scripts/engine.sh run scripts/bench.sh

venv: ## the command ocean-compute, in .venv/bin
	@scripts/venv.sh

image: ## the service's container image, ocean-compute:local
	@scripts/venv.sh
	@scripts/engine.sh run scripts/images.sh provider

wheels: ## Python packages for building the image without a network
	@scripts/venv.sh
	@scripts/engine.sh run scripts/images.sh wheels

clean: ## remove everything these commands made in this folder
	@rm -rf .venv .cache build dist demo-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find provider compute tests demo -name __pycache__ -type d -prune -exec rm -rf {} +
