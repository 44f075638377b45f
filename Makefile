# Every target makes the environment it needs from python3, pip, venv and the package registry alone.
#   make demo | test | lint | bench | bench-durability | bench-tiles | bench-check | serve      with python3
#   make interop                                       with Python 3.12 or 3.13, npm and Chromium: tries other readers; docs/interop.md
#   make vendor                                        with npm: bundles what the map page needs of OpenLayers anew
#   make test PYTHON=python3.13                        with another interpreter, in an environment of its own
#   make bench BENCH_ARGS=--quick                      a minute's run instead of the full one; see benchmarks/README.md

PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two workers on two cores; --dist loadfile keeps the fixtures of a file in one worker.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder -q

.PHONY: demo test lint bench bench-durability bench-tiles bench-check interop serve vendor clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[serve,export,dask,icechunk,cf,netcdf,test,lint,bench]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/demo.py

serve: $(STAMP)
	$(BIN)/python examples/demo.py --keep-serving

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-durability: $(STAMP)
	$(BIN)/python -m benchmarks.durability $(BENCH_ARGS)

bench-tiles: $(STAMP)
	$(BIN)/python -m benchmarks.tiles $(BENCH_ARGS)

bench-check: $(STAMP)
	$(BIN)/python -m benchmarks.check $(BENCH_ARGS)

interop: $(STAMP)
	$(BIN)/python -m interop $(INTEROP_ARGS)

vendor:
	cd web && npm ci && npm run build

clean:
	rm -rf web/node_modules .venv .venv-* demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
