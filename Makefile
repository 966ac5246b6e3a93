# The commands of this project; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.made-from-lock
EXECUTED := 01_own_data 04_2_mtfl # notebooks that a test executes in a report

.DEFAULT_GOAL := help
.PHONY: help report test quick lint book clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

report: $(READY) ## train the smoke networks, execute the notebooks, build the book
	@$(RUN)/python -m dclib report --preset smoke

test: lint ## everything that must pass: style, types, tests, notebooks, strict build
	@$(RUN)/python -m pytest --nbmake -n 2 --dist worksteal $(EXECUTED:%=--ignore=notebooks/%.ipynb)

quick: lint ## style, types and the fast tests, in two minutes
	@$(RUN)/python -m pytest tests -m "not slow" -n 2 --dist worksteal

lint: $(READY) ## style and types only
	@$(RUN)/ruff check
	@$(RUN)/ruff format --check
	@$(RUN)/mypy

book: $(READY) ## build the committed pages, strictly, into _build/html
	@$(RUN)/jupyter-book build -n -W --keep-going book/

clean: ## remove what was built; the environment, faces and finished runs stay
	rm -rf build _build

# Made again whenever the lock changes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: dclib needs Python 3.11 or newer, and '$(PYTHON)' is not one:" \
	    "name one by 'make PYTHON=/path/to/python3.12 ...'" >&2; exit 1; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: '$(PYTHON)' cannot make environments: install its venv module" \
	    "(Debian and Ubuntu: python3-venv)" >&2; exit 1; }
	@echo "installing the locked packages into $(VENV); PyTorch is a few gigabytes" >&2
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable .
	@touch $@
