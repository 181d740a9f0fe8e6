# Pacifica Dispatcher: `make` alone lists the targets. They need Python 3.11 or newer, and a registry of Python packages.

PYTHON ?= python3
MINUTES ?= 30
# More options for `make chaos`, such as --broker redis --database postgresql --seed 7
CHAOS ?=
# More options for `make run`, such as --reload
UP ?=
# More options for `make bench`, such as --scenes peers --systems pacifica,flower --rounds 3
BENCH ?=
# The number of processes that run tests: two per core, as fault tests mostly wait.
TESTERS ?= $(shell $(BIN)/python -c 'import os; print(2 * (os.cpu_count() or 1))')
VENV := .venv
BIN := $(VENV)/bin

# A stamp file is newer than the lock that was installed, so that a second run installs nothing.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
PEERS := bench/.venv/.installed bench/.venv-arq/.installed
# The project as its users install it, for the benchmark.
PLAIN := bench/.venv-plain/.installed
# The results of a short run.
SHORT_RESULTS := bench/.venv/short
PROJECT := pyproject.toml setup.py
# An environment without pip is filled by the pip of PYTHON, as ensurepip would take five seconds; then it has one by the lock.
PIP := $$(test -x $(BIN)/pip && echo $(BIN)/python -m pip || echo $(PYTHON) -m pip --python $(BIN)/python) \
  --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock" --group build
COMPILE_PEERS := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate \
  --no-emit-index-url --custom-compile-command "make peers"
# uv installs a lock in a second or two, pip in fifteen. pip does it where uv has no wheel, and where pip is configured to
# use another index, which uv would not know.
UV_OF_LOCK := sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock
GET_UV := ! $(PIP) config list | grep -q '[.]index-url=' && \
  $(UV_OF_LOCK) > $(VENV)/uv.txt && $(PIP) install -qq --no-compile --only-binary :all: -r $(VENV)/uv.txt 2> /dev/null
UV := $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
# Called with the lock, and with words for the first line.
INSTALL = echo "Installing $(2) ..." && if $(GET_UV) && $(UV) --require-hashes -r $(1); \
  then $(UV) --no-deps --no-build-isolation -e .; \
  else $(PIP) install -qq -r $(1) && $(PIP) install -qq --no-deps --no-build-isolation -e .; fi

# Whether the pages agree with the code; `make test` also runs their examples.
DOCUMENT_TESTS := $(patsubst %,tests/docs/%_test.py,generated guarantees metrics paths)

.DEFAULT_GOAL := help
.PHONY: help run test coverage test-fast check chaos burst bench fuzz format docs screenshots lock peers clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN)  ## start web server and worker, without any other server, at PORT (8050); Ctrl-C stops both
	@exec $(BIN)/pacifica-dispatcher-cmd up $(if $(PORT),--port $(PORT)) $(UP)

test: $(DEV)  ## run all tests on all cores
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(TESTS)

coverage: $(DEV)  ## run all tests with branch coverage, which takes a third longer
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(TESTERS) --dist worksteal --skips-to=.pytest_cache/skips $(TESTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report; status=$$?; echo; echo "Skipped tests:"; cat .pytest_cache/skips; exit $$status

test-fast: $(DEV)  ## run the tests that start no process and need no server, in less than a minute
	$(BIN)/python -m pytest -q -n $(TESTERS) -m "not slow"

check: $(DEV)  ## check format, lint, types, layers and documents; CI runs this and the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q $(DOCUMENT_TESTS)

fuzz: MINUTES = 10
fuzz: $(DEV)  ## send requests that /openapi.json allows and forbids, for MINUTES (10); SEED repeats a run
	$(BIN)/python -m tests.fuzz.fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

chaos: $(DEV)  ## kill workers, web servers and RabbitMQ at random for MINUTES (30), and check that no job is lost
	$(BIN)/python -m tests.chaos.chaos --minutes $(MINUTES) $(CHAOS)

burst: $(DEV)  ## dispatch 10,000 jobs in one request, twice; check that each is published once and memory stays flat
	TEST_BURST=10000 $(BIN)/python -m pytest -q --timeout 900 --junitxml=.pytest_cache/burst.xml tests/faults/burst_test.py; \
	  status=$$?; grep -o '<property [^>]*>' .pytest_cache/burst.xml; exit $$status

bench: $(DEV) $(PLAIN) $(PEERS)  ## compare the speed with other systems, into bench/results; SHORT=1 is a trial run, BENCH adds options
	$(BIN)/python -m bench $(if $(SHORT),--short --out $(SHORT_RESULTS)) $(BENCH)

format: $(DEV)  ## format the code, and apply the fixes of the linter
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEV)  ## generate docs/commands.md, docs/settings.md and config.ini from the code
	$(BIN)/python -m tests.docs.generated

screenshots: $(DEV)  ## write a picture of each page of the dashboard to build/screenshots, with Chromium
	@$(BIN)/python -m tests.browser.screenshots

# This needs no existing lock. A package in both locks has the same version in both.
lock: $(BIN)/python  ## lock the newest versions that pyproject.toml allows
	@test -x $(BIN)/uv || $(PIP) install -qq uv
	$(COMPILE) --upgrade pyproject.toml --extra dev -o requirements-dev.lock
	$(COMPILE) --upgrade pyproject.toml --extra gunicorn --extra mysql --extra postgresql --extra redis \
	  -c requirements-dev.lock -o requirements.lock

peers: $(DEV)  ## lock the newest versions of the other systems in `make bench`
	$(COMPILE_PEERS) bench/requirements.in -o bench/requirements.txt
	$(COMPILE_PEERS) bench/requirements-arq.in -o bench/requirements-arq.txt

clean:  ## remove everything that make and the tools created, but no database
	rm -rf $(VENV) bench/.venv bench/.venv-arq bench/.venv-plain build dist *.egg-info htmlcov .coverage .coverage.* .hypothesis \
	  .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find pacifica tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for each lock of the peers.
bench/.venv/.installed: bench/requirements.txt | $(BIN)/python
bench/.venv-arq/.installed: bench/requirements-arq.txt | $(BIN)/python
$(PEERS):
	@echo "Installing $< ..."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -r $<
	@touch $@

# The locked versions, without development tools, which would add to the measured memory.
$(PLAIN): requirements.lock $(PROJECT) | $(BIN)/python
	@echo "Installing the project with PostgreSQL's driver ..."
	@$(PYTHON) -m venv --clear $(@D)
	@sed -n 's/^\([a-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock > $(@D)/versions.txt
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -c $(@D)/versions.txt setuptools
	@$(@D)/bin/python -m pip --disable-pip-version-check install -qq -c $(@D)/versions.txt --no-build-isolation -e '.[postgresql]'
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) does not exist. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: Python 3.11 or newer is needed. Name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "$(PYTHON) cannot create virtual environments. Install its venv module (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Creating $(VENV) ..."
	@$(PYTHON) -m venv $$(! $(PYTHON) -m pip --version > /dev/null 2>&1 || echo --without-pip) $(VENV)

# The lock contains the build tool, too, so that installing the project itself downloads nothing else.
$(RUN): requirements.lock $(PROJECT) | $(BIN)/python
	@$(call INSTALL,requirements.lock,the locked versions)
	@touch $@

$(DEV): requirements-dev.lock $(PROJECT) | $(BIN)/python
	@$(call INSTALL,requirements-dev.lock,the locked versions and the development extras)
	@touch $@
