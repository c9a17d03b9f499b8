# `make audit` and `make test` need git, make and Python 3.11-3.13 with pip and venv; the rest they install into .venv.
# Once that is done they work offline, and a second call installs nothing.

PYTHON ?= python3
UV ?= uv
JOBS ?= 2
BIN := .venv/bin
READY := .venv/ready
PEERS := .venv-peers
SPREAD = -n $(JOBS) --dist worksteal
# These files call every public function, so that they run with shapes and types checked at run time (a third slower);
# without the plugin, which would be there before the checks; not those of the room testing, since the checks draw random numbers, which Hypothesis refuses inside strategies.
CHECKED := $(wildcard $(patsubst %,tests/test_%.py,basins binary branches capacity check contract critical_times energies \
	exponents fixed_points generator guidance ham interpolants kernels lagrangians laws memories memorisation mixture \
	optimise_schedule oscillators predictions samplers_of_others schedules shocks solvers))

.PHONY: help setup audit test long peers lint bench constraints clean

help:
	@echo "make audit        which energy does which dynamics descend: audit/report.html and audit/audit.json"
	@echo "make test         the default tests"
	@echo "make long         the tests marked long"
	@echo "make peers        the tests that hold ours to torch, diffusers and hamux, in .venv-peers"
	@echo "make lint         style, types, import contracts, spelling"
	@echo "make bench        the benchmarks"
	@echo "make constraints  pin the dependencies anew (needs uv)"
	@echo "make clean        remove what the tools left, except the environments"
	@echo "JOBS=4 runs the tests in four processes, and not in two"
	@echo "PYTHON=python3.12 chooses the interpreter of a new .venv"

setup: $(READY)

audit: $(READY)
	@mkdir -p audit
	$(BIN)/dynamem audit --html audit/report.html --json audit/audit.json
	@echo "The report is audit/report.html, its numbers are audit/audit.json."

test: $(READY)
	$(BIN)/python -m pytest $(SPREAD) -p no:dynamem --jaxtyping-packages=dynamem,beartype.beartype $(CHECKED)
	$(BIN)/python -m pytest $(SPREAD) $(addprefix --ignore=,$(CHECKED))

long: $(READY)
	$(BIN)/python -m pytest $(SPREAD) -m long

peers: $(PEERS)/ready
	$(PEERS)/bin/python -m pytest -m peers

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/basedpyright

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

constraints:
	$(UV) pip compile pyproject.toml --extra test --extra referee --universal --python-version 3.11 --upgrade --quiet \
		--no-header --no-annotate --output-file constraints.txt

clean:
	rm -rf audit build dist .cache .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find dynamem tests examples -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit( \
		"dynamem needs Python 3.11, 3.12 or 3.13, and this one is %d.%d: try make PYTHON=python3.12" % v[:2])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "Installing into .venv ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $(READY)

$(PEERS)/ready: pyproject.toml constraints.txt $(READY)
	@$(PEERS)/bin/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m venv --clear $(PEERS)
	@echo "Installing into $(PEERS) ..."
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,peers]"
	@touch $(PEERS)/ready
