# One command for each thing one does here. All of them share the environment .venv, which is made again when what it is made of changes.

PYTHON ?= python3
WORKERS ?= 2

SOURCES := $(shell find requirements -type f -not -path '*.egg-info/*' -not -path '*/build/*' | LC_ALL=C sort)
HASH := $(shell cat requirements.txt pyproject.toml $(SOURCES) | (sha256sum 2>/dev/null || shasum -a 256) | cut -c1-16)
STAMP := .venv/.stamp-$(HASH)
RUN := .venv/bin/python -m

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench smoke clean

help:  ## show these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## make the log of Complete Journey, then train, evaluate and export on it
	$(RUN) pipelines.demo

test: $(STAMP)  ## run the fast tests and the examples in docstrings
	OMP_NUM_THREADS=1 $(RUN) pytest -n $(WORKERS)

check: $(STAMP)  ## check format, lint and types
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy

format: $(STAMP)  ## format, and mend what the linter can mend
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

bench: $(STAMP)  ## run the measured comparisons (half an hour); the tables go to benchmarks/results
	$(RUN) pytest -m benchmark
	$(RUN) benchmarks.auc_speed
	$(RUN) benchmarks.memory
	$(RUN) benchmarks.averaging

smoke: $(STAMP)  ## one training run of a minute, on synthetic data
	$(RUN) mtrec train configs/smoke.yaml

clean:  ## remove caches and what was built; runs and data stay
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find mtrec pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "mtrec needs Python 3.11 or later, and $(PYTHON) is older or missing: name another, as in make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(RUN) pip install --quiet -r requirements.txt
	$(RUN) pip check
	@rm -f .venv/.stamp-*
	@touch $@
