# All targets work on a fresh machine with Python 3.11 or newer, git and make. The first one creates .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
SITE_STAMP := $(VENV)/.installed-site
WORKFLOWS := $(wildcard .github/workflows/*.yml src/octosync/forge/starter/*.yml)

# Tests start many processes. With this variable, each of them would compile octosync again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage lint types docs site bench soak failover fuzz clean

demo: $(STAMP)
	@$(BIN)/octosync demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

# Measuring doubles the CPU time of the tests, so `make test` does without.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term --no-cov-on-fail

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/zizmor --quiet --offline --config .github/zizmor.yml $(WORKFLOWS) action.yml .github/dependabot.yml
	$(BIN)/python -m deploy.check

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m docs.generate
	@$(MAKE) --no-print-directory site

# Warnings are errors. `make site SERVE=1` serves the site, and rebuilds it when a page changes.
site: $(SITE_STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(if $(SERVE),serve --livereload,build)
	$(if $(SERVE),,@echo "The site is in site/. To read it, run \`make site SERVE=1\`.")

# Takes about three minutes; `make bench BENCH="plan apply"` runs single measures, `BENCH=suite` times the tests.
bench: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks $(BENCH)

# Simulates six hours of a running controller in three minutes; `make soak SOAK=short` simulates one hour in half a minute.
soak: $(STAMP)
	$(BIN)/python -m tests.soak $(SOAK)
	$(if $(SOAK),,$(BIN)/python -m pytest -q -m soak)

# Runs real processes on a PostgreSQL server that crashes, hangs and restarts, for about three minutes, most of which they wait. `make failover ARGS="-k lease"` runs some of the tests.
failover: $(STAMP)
	$(BIN)/python -m pytest -q -n 10 -m failover tests/cli tests/state tests/watch $(ARGS)

# Takes about a minute of CPU time, then tests that the fuzzer finds former defects. To run longer: `make fuzz FUZZ="--seconds 3600 --seed 7"`; to run one part: `FUZZ=machine`.
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(FUZZ)
	$(if $(FUZZ),,$(BIN)/python -m pytest -q -m fuzz tests/fuzz)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml src/octosync/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "octosync needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) (about 30 s) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

$(SITE_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[site]'
	@touch $@
