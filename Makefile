# `make demo` and `make test` work from a fresh clone: they create .venv, install the pinned packages, and run. See README.md.
PYTHON ?= python3
# number of tests at a time; those of Slurm, which mostly wait, always run one after the other
WORKERS ?= 2
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test lint docs bench faults format generated clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       run the whole pipeline on real text and a real model, print the scores, write results/demo/report.html"
	@echo "make test       run all tests"
	@echo "make lint       ruff, mypy, snakefmt, snakemake --lint"
	@echo "make docs       write the API reference to build/api"
	@echo "make bench      compare speed and memory with simple implementations (NAMES='...' for some), write docs/benchmarks.md"
	@echo "make faults     interrupt, starve and damage small runs at random moments (TRIALS=44 SEED=1), print the outcomes"
	@echo "make format     format Python and Snakemake files"
	@echo "make generated  regenerate config/schema.json, envs/*, docs/stages.md and the graph in the README"
	@echo "make clean      remove results, resources and logs (not .venv)"

$(VENV)/installed: requirements.lock requirements-demo.lock pyproject.toml
	@echo "lexigraft: installing the pinned packages into $(VENV) (about 2.5 GB with the CPU build of torch; takes minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lexigraft needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (choose another with make PYTHON=...)")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps -r requirements-demo.lock
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/test-installed: $(VENV)/installed requirements-test.lock requirements-multi.lock
	@echo "lexigraft: installing the test tools"
	@$(PIP) -r requirements-test.lock
	@$(PIP) --no-deps -r requirements-multi.lock
	@touch $@

$(VENV)/docs-installed: $(VENV)/installed requirements-docs.lock
	@echo "lexigraft: installing the generator of the API reference"
	@$(PIP) -r requirements-docs.lock
	@touch $@

demo: $(VENV)/installed
	@echo "lexigraft: running config/config.yaml on $(CORES) cores; logs are in logs/, artifacts in resources/ and results/demo/"
	@$(BIN)/snakemake --cores $(CORES) all
	@$(BIN)/lexigraft scores results/demo

test: $(VENV)/test-installed
	@echo "lexigraft: running all tests"
	@$(BIN)/python -m pytest -q -n $(WORKERS) --no-loadscope-reorder

lint: $(VENV)/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict lexigraft tools
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

docs: $(VENV)/docs-installed
	@$(BIN)/python -m pdoc --docformat google --no-show-source --no-include-undocumented --output-directory build/api lexigraft
	@echo "lexigraft: the API reference is build/api/index.html"

bench: $(VENV)/test-installed
	@echo "lexigraft: measuring; input that takes long to generate is stored in benchmarks/cache"
	@$(BIN)/python -m benchmarks $(NAMES)

faults: $(VENV)/test-installed
	@echo "lexigraft: the fault suite; half an hour to an hour on two cores"
	@$(BIN)/python -m tests.faults --trials $(or $(TRIALS),44) --seed $(or $(SEED),1)

format: $(VENV)/test-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

generated: $(VENV)/installed
	$(BIN)/python -m tools.generate

clean:
	rm -rf results resources logs
