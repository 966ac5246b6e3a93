# The commands of this project; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.made-from-lock
EXECUTED := 01_own_data 04_2_mtfl # notebooks that a test executes in a report

.DEFAULT_GOAL := help
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: help report test quick lint book pdf bundle clean

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

pdf: $(READY) ## the committed pages as one file, _build/dclib.pdf, printed by Chromium
	@test -n "$(CHROMIUM)" || { echo "error: there is no Chromium to print with: install it" \
	  "(Debian: chromium), or name one by 'make pdf CHROMIUM=/path/to/it'" >&2; exit 1; }
	@$(RUN)/jupyter-book build -n --builder custom --custom-builder singlehtml book/
	@$(CHROMIUM) --headless --no-sandbox --disable-gpu --no-pdf-header-footer \
	  --print-to-pdf=_build/dclib.pdf "file://$(CURDIR)/_build/singlehtml/index.html"

bundle: book ## what an archive keeps, _build/dclib.tar.gz: the commit's files and the built book
	@rm -rf _build/dclib && mkdir _build/dclib
	@git archive HEAD | tar -x -C _build/dclib
	@cp -r _build/html _build/dclib/built-book
	@tar -czf _build/dclib.tar.gz -C _build dclib && rm -r _build/dclib && echo _build/dclib.tar.gz

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
