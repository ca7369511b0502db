# Every job of this project, defined once: people, CI and the documents call these. `make` alone lists them.
# Needs Python 3.11 or later and make; each target sets up what it lacks in .venv.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
VENV := .venv/pyvenv.cfg
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev

# Compiled modules are kept, whatever the environment says: the tests start some hundred processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo console check release-check lint test test-long test-destinations test-gateway test-web screenshots bench pages format lock clean

help: ## List the jobs.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(RUNTIME) ## Replicate a made-up workspace into DuckDB and prove the copy. ARGS="..." goes to the command.
	$(BIN)/cio-replicate demo $(ARGS)

console: $(DEV) ## Serve the web console on this machine, with all that it needs; the link to begin with is printed. ARGS="...".
	$(BIN)/cio-replicate console $(ARGS)

check: lint test ## All that a change must pass: lint, then the tests.

release-check: lint test test-long test-destinations test-gateway test-web ## Every check and every test that there is, an hour or so.

lint: $(DEV) ## Style, format, types, layers, generated pages and house rules.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m docs.reference_pages --check
	$(BIN)/pytest -q tests/house

test: $(DEV) ## The tests. ARGS="-k word" goes to pytest.
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

test-long: $(DEV) ## The long tests (kills, large workspaces, an hour of schedules), the wheel, and what needs the package index.
	$(BIN)/pytest -m slow $(ARGS)

test-destinations: $(DEV) ## The tests that write to every kind of destination that runs on this machine; MariaDB is installed.
	@command -v mariadbd mysqld >/dev/null || { echo "Installing MariaDB, which the tests of MySQL start."; \
		apt-get -qq update && apt-get -qq install --yes --no-install-recommends mariadb-server >/dev/null; } \
		|| echo "MariaDB is missing: the tests of MySQL are left out."
	$(BIN)/pytest -m destinations -n 2 --dist worksteal $(ARGS)

test-gateway: $(DEV) ## The tests of gateways in network namespaces, which need root; iproute2 and nftables are installed.
	@command -v ip >/dev/null && command -v nft >/dev/null && command -v ss >/dev/null || { echo "Installing iproute2 and nftables."; \
		apt-get -qq update && apt-get -qq install --yes --no-install-recommends iproute2 nftables >/dev/null; } \
		|| echo "iproute2 or nftables is missing: these tests are left out."
	$(BIN)/pytest -m gateway $(ARGS)

CHROMIUM := command -v chromium >/dev/null || { echo "Installing Chromium, which the tests of the console drive."; \
	apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

test-web: $(DEV) ## The tests of the console in a real browser, and its API under a property-based tester; Chromium is installed.
	@$(CHROMIUM)
	$(BIN)/pytest -m web -n 2 --dist worksteal $(ARGS)

screenshots: $(DEV) ## Pictures of every page of the console, light, dark and as wide as a phone, into build/screenshots.
	@$(CHROMIUM)
	$(BIN)/python -m tests.web.screenshots build/screenshots

bench: $(DEV) ## Measure the speed, some 15 minutes; figures go to bench-results/. ARGS="--only limited --runs 1 --scale 0.1".
	$(BIN)/python -m benchmarks $(ARGS)

pages: $(DEV) ## Write the pages in docs that come from the code. ARGS=--check only compares.
	$(BIN)/python -m docs.reference_pages $(ARGS)

format: $(DEV) ## Format the code and mend what the linter can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# pip-tools reads no dependency group, so the group goes to it as a list. Versions that are locked stay unless
# pyproject.toml forbids them; ARGS=--upgrade takes the newest, ARGS="--upgrade-package NAME" the newest of one.
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config --no-build-isolation --no-emit-options \
	--strip-extras --allow-unsafe --annotation-style=line
GROUP := import pathlib, tomllib; \
	print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["dependency-groups"]["dev"], sep="\n")

lock: $(DEV) ## Write both lock files anew from pyproject.toml. ARGS=--upgrade takes the newest versions.
	@mkdir -p build
	@$(BIN)/python -c '$(GROUP)' > build/dev-group
	$(COMPILE) $(ARGS) --output-file=requirements.lock pyproject.toml
	$(COMPILE) $(ARGS) --output-file=requirements-dev.lock --constraint=requirements.lock pyproject.toml build/dev-group
	@sed -i.bak -e 's/-c requirements.lock, //; s/-r build\/dev-group/dev (pyproject.toml)/' requirements-dev.lock
	@rm requirements-dev.lock.bak

clean: ## Remove the environment and everything else that was made here.
	rm -rf .venv build dist bench-results .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: made once, and again only when a lock or pyproject.toml changes --------------------------------

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

# the build backend is pinned in the development lock, so that a build here is the same build everywhere
$(RUNTIME): $(VENV) requirements.lock pyproject.toml
	$(PIP) install --requirement requirements.lock
	$(PIP) install --constraint requirements-dev.lock hatchling editables
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(VENV) requirements-dev.lock pyproject.toml
	$(PIP) install --requirement requirements-dev.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@
