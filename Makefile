# The commands of this project; `make` alone lists them. Works with GNU make 3.81, which macOS has.
# Ports: make run FUNCTIONS_PORT=7171 COSMOS_PORT=18081 ... (or the same in the environment).

PYTHON ?= python3
# Not "?=": some shells export HOST as the machine's name.
HOST = local
ARGS =
# Tests wait more than they compute; each worker has a stack of its own.
WORKERS = 3

VENV_PYTHON = .venv/bin/python
NEEDS_PYTHON = command -v $(PYTHON) >/dev/null 2>&1 || \
	{ echo "There is no \`$(PYTHON)\` on PATH: install Python 3.11, 3.12 or 3.13." >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: infra-check help run stack demo token faults test chaos bench check clean install install-test install-check

help: ## List these commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: install ## Run emulators and functions; Ctrl-C stops them (HOST=func uses func start)
	@exec $(VENV_PYTHON) -m local.stack_command run --host $(HOST)

stack: install ## Run the emulators only, for `func start` in another terminal
	@exec $(VENV_PYTHON) -m local.stack_command emulators

demo: install ## Create the four published flows and watch them (ARGS=--verbose: bodies)
	@exec $(VENV_PYTHON) -m local.demo $(ARGS)

token: ## Print an access token for the local service (ARGS=--read: only to read)
	@test -x $(VENV_PYTHON) || { echo "Run \`make install\` first." >&2; exit 1; }
	@$(VENV_PYTHON) -m local.access_token $(ARGS)

faults: ## Have the local service fail, for tests of clients (ARGS="add status=429 count=2")
	@test -x $(VENV_PYTHON) || { echo "Run \`make install\` first." >&2; exit 1; }
	@$(VENV_PYTHON) -m local.faults $(or $(ARGS),list)

test: install-test ## Run the tests (ARGS="-k name" to choose)
	@$(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

chaos: install-test ## Kill parts and cut connections; nothing may be lost (ARGS="--seed 7")
	@$(VENV_PYTHON) -m bench.chaos $(ARGS)

bench: install ## Measure against peers and print ratios (ARGS="validation http")
	@test -x .venv-bench/bin/python || $(VENV_PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-input -r bench/requirements.txt
	@.venv-bench/bin/python -m bench $(ARGS)

check: install-check ## Check style, format and types
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy

infra-check: install-check ## Compile, lint and plan infra/ (needs the Bicep compiler)
	@sh infra/check.sh
	@.venv/bin/shellcheck .ci/run infra/*.sh infra/hooks/*.sh
	@$(VENV_PYTHON) -m pytest -n 2 --dist loadfile tests/infra/compiled

clean: ## Remove what the local stack stored (.local)
	@$(NEEDS_PYTHON)
	@$(PYTHON) -m local.stack_command clean

install: ## Install what running needs: .venv and local/node_modules
	@$(NEEDS_PYTHON)
	@$(PYTHON) local/install.py run

install-test:
	@$(NEEDS_PYTHON)
	@$(PYTHON) local/install.py test

install-check:
	@$(NEEDS_PYTHON)
	@$(PYTHON) local/install.py check
