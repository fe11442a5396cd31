# make run    set up, start the sandbox gateway, show a first QR, keep serving
# make test   set up, run every check and test
# make check  the quick checks: format, lint, types, imports, unit tests
# make test-crash     kill gateways 50 times under load; the figures go to docs/reliability.md
# make test-failover  lose the primary database under load, under Patroni; likewise (installs Patroni, etcd, PostgreSQL)
# make test-compiled  the same tests, but the browser's, with the compiled build (docs/deployment.md)
# make bench  measure; ratios in one run, figures as JSON (build/bench.json), some five minutes
# make bench-compiled  the same with the compiled build (build/bench-compiled.json)
# make bench-size  what 10 million tokens and 50 million issues cost: 30 minutes, 60 GB of disk
# make pictures  draw the pictures of README and docs anew, from what commands and console show
# make browser   install the Chromium that the browser tests drive, where it is missing and we may

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
COMPILED := build/compiled

.PHONY: run setup test test-compiled test-crash test-failover check lint browser compiled bench bench-compiled bench-size pictures clean
.DEFAULT_GOAL := run

setup: $(STAMP)

# A stamp keeps the second call quick: the environment is remade only when what it is made of has changed.
$(STAMP): pyproject.toml constraints.txt
	@echo "cpmqr: setting up $(VENV) (once; about half a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cpmqr needs Python 3.11 or newer; this is %d.%d. Set PYTHON=…" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: setup
	@$(BIN)/cpmqr serve --sandbox --first-qr

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint
	@$(BIN)/python -m pytest tests/unit

browser:
	@tests/browser/install-chromium.sh

test: lint browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile

compiled: $(COMPILED)/.ready

$(COMPILED)/.ready: pyproject.toml constraints.txt build_compiled.py $(shell find src -type f -not -name '*.pyc')
	@PYTHON=$(PYTHON) tests/install-compiler.sh
	@echo "cpmqr: compiling into $(COMPILED) (about a minute)"
	@$(PYTHON) -m venv $(COMPILED)
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(COMPILED)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '.[dev]'
	@touch $@

test-compiled: compiled
	@CPMQR_TEST_COMPILED=1 $(COMPILED)/bin/python -m pytest -n 2 --dist loadfile --ignore tests/browser

test-crash: setup
	@CPMQR_CRASH_KILLS=50 CPMQR_REPORT=1 $(BIN)/python -m pytest tests/fault/test_postgres_crash.py -s

test-failover: setup
	@patroni=$$(tests/failover/install.sh) && \
	$(BIN)/python -m pytest -m failover tests/failover -s -rs && \
	CPMQR_PATRONI=$$patroni CPMQR_REPORT=1 $(BIN)/python -m pytest -m failover tests/failover -s

bench: setup
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.plot --out build/load.svg

bench-compiled: compiled
	@$(COMPILED)/bin/python -m benchmarks --out build/bench-compiled.json

bench-size: setup
	@mkdir -p build
	@$(BIN)/python -m benchmarks.size --tokens 10000000 --issues 50000000 --rounds 6 --seconds 30 --warm-up 30 --shared-buffers 8GB --json build/size.json

pictures: setup browser
	@$(BIN)/python docs/pictures.py
	@CPMQR_SCREENSHOTS=docs/images/console $(BIN)/python -m pytest tests/browser/test_screenshots.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
