# Everything a person types. `make setup` is a prerequisite of all and takes a moment when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-$(shell cat pyproject.toml | cksum | cut -d' ' -f1)
PYTEST ?= $(BIN)/python -m pytest

.PHONY: setup demo test check bench wheel images clean
setup: $(STAMP)

$(STAMP):
	@echo "fleetpedia: setting up $(VENV) (once, about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@rm -f $(VENV)/.made-* && touch $@
	@echo "fleetpedia: $(VENV) is ready"

# Three simulated clusters until Ctrl-C; a second start continues the first.
demo: setup
	@exec $(BIN)/fleetpedia up --demo 3 --objects 3000 --churn 5

# Everything but benchmarks: without I/O, with Postgres, with real API servers (built once, about eight minutes).
test: setup
	@echo "== control plane of the e2e tests =="
	@$(BIN)/python -m tests.controlplane --build
	@echo "== unit, contract, integration, e2e =="
	@$(PYTEST) tests/unit tests/contract tests/integration tests/e2e $(ARGS)

# Lint, format, types, layers, and that the documents name what the code has.
check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTEST) -q tests/contract

# Each prints one figure beside its baseline; `python -m benchmarks NAME` runs one alone.
bench: setup
	@for name in $$($(BIN)/python -m benchmarks | cut -d' ' -f1); do $(BIN)/python -m benchmarks $$name --json || exit 1; done

wheel: setup
	@rm -rf build
	@$(BIN)/python -m build --wheel --outdir dist .

# The agent's and the aggregator's image, from this tree.
images:
	docker build -f deploy/agent.Dockerfile -t fleetpedia-agent .
	docker build -f deploy/aggregator.Dockerfile -t fleetpedia .

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
