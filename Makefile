# Pacifica Dispatcher: `make` alone lists what there is. Needs Python 3.11 or newer, and a registry of Python packages.

PYTHON ?= python3
MINUTES ?= 30
# More for `make chaos`, such as --broker redis --database postgresql --seed 7
CHAOS ?=
# More for `make bench`, such as --scenes peers --systems pacifica,flower --rounds 3
BENCH ?=
# Processes that run tests: half as many again as there are cores, as tests of faults wait more than they work.
TESTERS ?= $(shell $(BIN)/python -c 'import os; print(max(2, (os.cpu_count() or 2) * 3 // 2))')
VENV := .venv
BIN := $(VENV)/bin

# A stamp is newer than the lock that it was installed from, so that a second run installs nothing.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PEERS := bench/.venv/.installed bench/.venv-arq/.installed
# The project as its users install it, which is what is measured.
PLAIN := bench/.venv-plain/.installed
# What a trial of the measurements writes.
SHORTLY := bench/.venv/short
PROJECT := pyproject.toml setup.py
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock" --group build
COMPILE_PEERS := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate \
  --no-emit-index-url --custom-compile-command "make peers"

# Whether the pages fit the code; that what they show happens, too, is seen by `make test`.
DOCUMENT_TESTS := $(patsubst %,tests/docs/%_test.py,generated guarantees metrics)

.DEFAULT_GOAL := help
.PHONY: help run test test-fast check chaos burst bench fuzz format docs lock peers clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN)  ## start web server and worker here, with nothing installed beside; Ctrl-C ends both
	@exec $(BIN)/pacifica-dispatcher-cmd up

test: $(DEV)  ## run all tests on all cores; fails below the bar of branch coverage
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(TESTERS) --dist worksteal --skips-to=.pytest_cache/skips $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report; status=$$?; echo; echo "Skipped tests:"; cat .pytest_cache/skips; exit $$status

test-fast: $(DEV)  ## run the tests that start no process and need no server, in less than a minute
	$(BIN)/python -m pytest -q -n $(TESTERS) -m "not slow"

check: $(DEV)  ## format, lint, types, layers, documents: what CI asks beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q $(DOCUMENT_TESTS)

fuzz: MINUTES = 10
fuzz: $(DEV)  ## ask all that /openapi.json allows, and what it does not, for MINUTES (10); SEED repeats a run
	$(BIN)/python -m tests.fuzz.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

chaos: $(DEV)  ## kill workers, web servers and RabbitMQ at random for MINUTES (30), then count what was lost
	$(BIN)/python -m tests.chaos.chaos --minutes $(MINUTES) $(CHAOS)

burst: $(DEV)  ## dispatch 10,000 jobs in one request, twice: each is sent once, and memory stays flat
	TEST_BURST=10000 $(BIN)/python -m pytest -q --timeout 900 --junitxml=.pytest_cache/burst.xml tests/faults/burst_test.py; \
	  status=$$?; grep -o '<property [^>]*>' .pytest_cache/burst.xml; exit $$status

bench: $(DEV) $(PLAIN) $(PEERS)  ## measure beside the peers, and write bench/results; SHORT=1 only tries it; BENCH has more options
	$(BIN)/python -m bench $(if $(SHORT),--short --out $(SHORTLY)) $(BENCH)

format: $(DEV)  ## format the code, and mend what the linter can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEV)  ## generate docs/commands.md, docs/settings.md and config.ini from the code
	$(BIN)/python -m tests.docs.generated

# It needs no earlier lock, and what both locks hold has the same version in both.
lock: $(BIN)/pip  ## lock the newest versions that pyproject.toml allows
	@test -x $(BIN)/uv || $(PIP) uv
	$(COMPILE) --upgrade pyproject.toml --extra dev -o requirements-dev.lock
	$(COMPILE) --upgrade pyproject.toml --extra gunicorn --extra mysql --extra postgresql --extra redis \
	  -c requirements-dev.lock -o requirements.lock

peers: $(DEV)  ## lock the newest versions of what `make bench` compares with
	$(COMPILE_PEERS) bench/requirements.in -o bench/requirements.txt
	$(COMPILE_PEERS) bench/requirements-arq.in -o bench/requirements-arq.txt

clean:  ## remove all that was made here, but no database
	rm -rf $(VENV) bench/.venv bench/.venv-arq bench/.venv-plain build dist *.egg-info htmlcov .coverage .coverage.* .hypothesis \
	  .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find pacifica tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# What is measured beside the project, each lock in an environment of its own.
bench/.venv/.installed: bench/requirements.txt | $(BIN)/pip
bench/.venv-arq/.installed: bench/requirements-arq.txt | $(BIN)/pip
$(PEERS):
	@echo "Installing $< ..."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -r $<
	@touch $@

# No drivers and no tools, in the versions of the lock; what is not installed here is no part of what it needs.
$(PLAIN): requirements.lock $(PROJECT) | $(BIN)/pip
	@echo "Installing the project with gunicorn alone ..."
	@$(PYTHON) -m venv --clear $(@D)
	@sed -n 's/^\([a-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock > $(@D)/versions.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -c $(@D)/versions.txt setuptools
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -c $(@D)/versions.txt --no-build-isolation -e '.[gunicorn]'
	@touch $@

$(BIN)/pip:
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old; Python 3.11 or newer is needed. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "$(PYTHON) cannot make virtual environments; install its venv module (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# The build tool is in the lock, too, so the project itself is installed without asking the registry for anything else.
$(RUN): requirements.lock $(PROJECT) | $(BIN)/pip
	@echo "Installing the locked versions ..."
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements-dev.lock $(PROJECT) | $(BIN)/pip
	@echo "Installing the locked versions and the development extras ..."
	@$(PIP) -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
