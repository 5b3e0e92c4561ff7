# `make demo` and `make test` need Python 3.11, git and make; the rest they set up themselves,
# in .venv, at the versions and with the hashes of the lock file.

PYTHON ?= python3
SUITE ?= bookworm
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/stamp
RELEASE := PYTHONPATH=packaging $(PY) -m release
LOCK := requirements-dev.lock
EACH_PROCESSOR := --numprocesses auto --dist worksteal
# The tests make many small files, and rdctl syncs what it writes: in memory that takes a fraction of
# the time. Containers often have too little of it there.
IN_MEMORY := $(shell [ "$$(df --output=avail /dev/shm 2>&1 | tail -n 1)" -gt 2000000 ] 2>/dev/null && \
	[ -w /dev/shm ] && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# Where, by which Python and from which lock file the environment was made. If the stamp differs
# (incomplete, copied with the tree, another Python or lock file by now), it is made anew; if the
# stamp is only old, the environment is updated.
IDENTITY = $(CURDIR) $(shell $(PYTHON) --version 2>&1) lock $(shell cksum < $(LOCK))
ifneq ($(IDENTITY),$(shell $(PY) --version >/dev/null 2>&1 && cat $(STAMP) 2>&1))
CLEAR := --clear
.PHONY: $(STAMP)
endif

.PHONY: help demo test test-oldest test-newest test-kernel fuzz lint bench bench-kernel format generate \
	lock venv deb test-deb pyz test-pyz release-check clean
.DEFAULT_GOAL := help

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## real work on the embedded sandbox
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" bash tests/demo/run

test: $(STAMP) ## the tests, with coverage; PYTEST_ARGS='-k name -x'
	@$(IN_MEMORY) $(PY) -m pytest $(EACH_PROCESSOR) --cov=rdctl $(PYTEST_ARGS)

test-oldest: ## the tests, with the oldest releases that setup.cfg admits; PYTEST_ARGS
	@$(PYTHON) -m venv --clear $(VENV)-oldest
	@sed -n '/^install_requires/,/^$$/s/^ *\(.*\)>=/\1==/p' setup.cfg > $(VENV)-oldest/constraints
	@$(VENV)-oldest/bin/python $(PIP_INSTALL) --constraint $(VENV)-oldest/constraints \
		--editable '.[dev]'
	@$(IN_MEMORY) $(VENV)-oldest/bin/python -m pytest $(EACH_PROCESSOR) $(PYTEST_ARGS)

test-newest: ## the tests, with the newest releases that setup.cfg admits; PYTEST_ARGS
	@$(PYTHON) -m venv --clear $(VENV)-newest
	@$(VENV)-newest/bin/python $(PIP_INSTALL) --upgrade --editable '.[dev]'
	@$(IN_MEMORY) $(VENV)-newest/bin/python -m pytest $(EACH_PROCESSOR) --cov=rdctl $(PYTEST_ARGS)

test-kernel: $(STAMP) ## local mode on a real kernel, and reboots, in virtual machines: 20 minutes
	@bash tests/kernel/run $(PYTEST_ARGS)

fuzz: $(STAMP) ## random command lines and spoiled replies; FUZZ_ARGS='--seed N --lines N'
	@$(PY) -m tests.fuzz $(FUZZ_ARGS)

lint: $(STAMP) ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(STAMP) ## start-up times and throughput, measured
	@$(PY) -m tests.bench

bench-kernel: $(STAMP) ## beside the C command rapiddisk, in the virtual machine of test-kernel
	@bash tests/kernel/run --bench local

format: $(STAMP) ## puts the code into shape
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

deb: ## the Debian package of the last commit, in build/deb
	@bash packaging/deb

test-deb: deb ## that package, in a bare Debian; SUITE=trixie for another release than bookworm
	@bash tests/packages/run $(SUITE)

generate: $(STAMP) ## man pages, completions and pictures, from the program
	@$(PY) -m tests.generate
	@$(PY) -m tests.pictures

# Neither pip's settings nor this environment reach the lock file: uv does not read them, and comes
# into an environment that is removed again. Pins are kept as long as setup.cfg admits them.
lock: ## the lock file, from setup.cfg; LOCK_ARGS=--upgrade for the newest releases
	@rm -rf $(VENV)-lock
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python $(PIP_INSTALL) uv
	@$(VENV)-lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --custom-compile-command 'make lock' \
		--extra dev $(LOCK_ARGS) --output-file $(LOCK) setup.cfg
	@rm -rf $(VENV)-lock

venv: $(STAMP) ## the environment alone

pyz: $(STAMP) ## dist/rdctl.pyz, from the last commit; PYTHONS='python3.11 python3.13' start fast
	@PYTHONS="$(PYTHONS)" $(RELEASE).build dist pyz

test-pyz: pyz ## that file in bare roots of Debian 12 and 13, with python3 alone; as root
	@bash tests/pyz/run dist/rdctl.pyz $(SUITES)

# The validator is not of the lock file, so it comes into an environment that builds nothing.
release-check: $(STAMP) ## builds and checks a release in dist/, from a clean tree; TAG=v1.0.0
	@PYTHONS="$(PYTHONS)" $(RELEASE).check $(TAG)
	@$(PYTHON) -m venv $(VENV)-schema
	@$(VENV)-schema/bin/python $(PIP_INSTALL) 'cyclonedx-python-lib[json-validation]==11.12.0'
	@PYTHONPATH=packaging $(VENV)-schema/bin/python -m release.bill dist/*.cdx.json
	@cd dist && sha256sum --check --quiet SHA256SUMS
	@echo "Ready for release, in dist/: see docs/releasing.md"

clean: ## removes what was made
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest $(VENV)-lock $(VENV)-schema build dist *.egg-info .coverage \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache
	find rdctl tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): setup.cfg pyproject.toml $(LOCK)
	@echo "Setting up $(VENV) (about a minute, once)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || bash .ci/debian-packages python3-venv
	@rm -f $@
	@$(PYTHON) -m venv $(CLEAR) $(VENV)
	@$(PY) $(PIP_INSTALL) --require-hashes --only-binary :all: --requirement $(LOCK)
	@rm -rf rdctl.egg-info  # of an older version it would hide the entry points of this one
	@$(PY) $(PIP_INSTALL) --no-index --no-deps --no-build-isolation --editable .
	@echo "$(IDENTITY)" > $@
