# Everything is set up inside this folder: .venv and node_modules.
# A stamp's name carries the checksum of what it stands for, so a repeated target does no work.

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
checksum = $(firstword $(shell $(1) | cksum))

VENV := .venv/.made-$(call checksum,pwd)
PACKAGES := .venv/.packages-$(call checksum,cat requirements.lock)
PROJECT := .venv/.project-$(call checksum,cat pyproject.toml)
NODE_TOOLS := node_modules/.installed-$(call checksum,cat package-lock.json requirements-node.lock)
PEERS := bench/.venv/.peers-$(call checksum,cat bench/requirements.txt bench/package-lock.json)

SEED ?= 1
MINUTES ?= 5

# A virtual environment is made again when its Python is gone, or when PYTHON names another one.
base_of = $(shell $(1) -c 'import sys; print(sys.base_prefix)' 2>/dev/null)
ifeq ($(call base_of,$(BIN)/python),)
$(VENV): again
else ifdef PYTHON
ifneq ($(call base_of,$(BIN)/python),$(call base_of,$(PYTHON)))
$(VENV): again
endif
endif

.DEFAULT_GOAL := help
.PHONY: help install demo test check format lock bench results torture mutants clean again

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(PROJECT) $(NODE_TOOLS) ## set up .venv and node_modules; the command lands at .venv/bin/onsettle

demo: install ## a database, a local chain, fifty payments, an audit: all of it here
	@$(BIN)/onsettle demo

test: install ## run every test, as CI does
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(PROJECT) ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(PROJECT) ## let ruff format the code and mend what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(VENV) ## resolve the dependencies again and write the lock files
	$(PIP) install --quiet 'uv==0.13.9'
	$(UV_COMPILE) --upgrade --group dev pyproject.toml -o requirements.lock
	$(UV_COMPILE) --upgrade --group pyproject.toml:node -o requirements-node.lock
	npm install --package-lock-only --ignore-scripts
UV_COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes

clean: ## remove what the set-up and the tools made here
	rm -rf .venv node_modules bench/.venv bench/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

bench: install $(PEERS) ## measure this machine: ours, the guide's, the x402 facilitators, the node alone
	$(BIN)/onsettle bench $(BENCH)

results: bench ## measure, and write what was found into the documentation
	$(BIN)/python -m onsettle.local.bench.pages bench/results/latest.json README.md docs/performance.md
results: BENCH += --save bench/results

# What the benchmark compares with; nothing of it is in the product.
$(PEERS): | $(PROJECT)
	scripts/install-bench-peers
	@rm -f bench/.venv/.peers-* && touch $@

torture: install ## the service under faults: SEED=n MINUTES=5
	$(BIN)/python -m tests.torture --seed $(SEED) --minutes $(MINUTES)

mutants: install ## break each promise in a copy: a test must see it; MUTANT="words" runs one
	$(BIN)/python -m tests.mutants $(if $(MUTANT),"$(MUTANT)")

$(VENV):
	python=$$(PYTHON='$(PYTHON)' scripts/find-python) && "$$python" -m venv --clear .venv
	@touch $@

# Neither step builds or fetches anything that the lock does not name.
$(PACKAGES): $(VENV)
	$(PIP) install -qq --require-hashes --requirement requirements.lock
	@rm -f .venv/.packages-* && touch $@

$(PROJECT): $(PACKAGES)
	$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@rm -f .venv/.project-* && touch $@

$(NODE_TOOLS): | $(PROJECT)
	scripts/install-node-tools
	@touch $@
