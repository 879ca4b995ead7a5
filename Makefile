# Every habit is one word; `make` alone lists them. Nothing here needs root.
# .venv is made when it is missing, and brought up to date when pyproject.toml or the lock changed.

MAKEFLAGS += --no-print-directory
PY := .venv/bin/python
INSTALLED := .venv/.installed
EMULATORS := tests/aimock tests/oidc_provider
ARGS ?=
PROCESSES ?= 4# that test: most tests wait for a server and not for a core

# Where nothing compiled is kept, each of the hundreds of processes that the tests start compiles
# all modules again: a second each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-quick check bench bench-operations bench-registry docs openapi routes new format lock emulator clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## make .venv and install everything into it
	@:

run: setup ## start a server, send a first request through it, keep serving
	@exec $(PY) scripts/first_light.py $(ARGS)

test: setup emulator ## every test (ARGS="tests/inference -x" narrows it)
	@$(PY) -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-quick: setup emulator ## the tests that take no more than a few seconds each
	@$(PY) -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

check: setup ## format, lint, types, imports, limits, OpenAPI document, docs: under a minute
	@$(PY) scripts/check.py $(ARGS)

bench: setup ## the gateway beside its peers: ARGS="--help" tells what can be chosen
	@$(PY) -m bench.gateway $(ARGS)

bench-operations: setup ## what busy workers cost the gateway (ARGS="--help")
	@$(PY) -m bench.operations $(ARGS)

bench-registry: setup ## a declared resource beside MLflow's model registry (ARGS="--help")
	@$(PY) -m bench.registry $(ARGS)

docs: setup openapi ## write the generated pages of docs/reference again
	@$(PY) scripts/document_settings.py
	@$(PY) scripts/document_errors.py
	@$(PY) scripts/document_endpoints.py
	@$(PY) scripts/document_permissions.py
	@$(PY) scripts/document_events.py
	@$(PY) scripts/document_cli.py
	@$(PY) scripts/document_support.py

openapi: setup ## write api/openapi.json and openapi-3.0.json again
	@$(PY) scripts/openapi.py

routes: setup ## every route, with the file and line that serves it
	@$(PY) scripts/routes.py

new: setup ## a resource that passes all checks: make new NAME=marketplace/reviews
	@$(PY) scripts/new.py $(NAME)
	@$(MAKE) docs

format: setup ## format the code and mend what can be mended by itself
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: ## resolve all packages anew and pin what came out in requirements-dev.lock
	@$$(PYTHON="$(PYTHON)" scripts/find_python.sh) scripts/lock.py

clean: ## remove .venv and everything else that can be made again
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf build dist src/*.egg-info tests/.cache $(EMULATORS:=/node_modules)

$(INSTALLED): pyproject.toml requirements-dev.lock
	@python=$$(PYTHON="$(PYTHON)" scripts/find_python.sh) && "$$python" scripts/set_up.py

# Other implementations that tests speak to are Node packages; those tests say so without them.
ifneq ($(shell command -v npm 2>/dev/null),)
emulator: $(EMULATORS:=/node_modules/.installed)

%/node_modules/.installed: %/package-lock.json
	@echo "==> Installing $* for the tests"
	@cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
else
emulator:
	@echo "npm was not found: the tests against other implementations will be skipped."
endif
