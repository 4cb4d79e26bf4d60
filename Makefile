# Everything a person types. `make setup` is a prerequisite of all and takes a moment when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-$(shell cat pyproject.toml | cksum | cut -d' ' -f1)

.PHONY: setup demo test check bench clean
setup: $(STAMP)

$(STAMP):
	@echo "fleetpedia: setting up $(VENV) (once, about a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@rm -f $(VENV)/.made-* && touch $@
	@echo "fleetpedia: $(VENV) is ready"
