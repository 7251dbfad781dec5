# `make run` and `make test` set themselves up: all they need is Python 3.11 to 3.13, make and git.
#
# Variables: PYTHON (which interpreter), PIP_ARGS (more for pip, such as an index with CPU builds),
# ARGS (more for `course run`: make run ARGS="05_unet_nuclei --profile cpu"),
# TEST_JOBS (how many tests at a time, each with one thread: make test TEST_JOBS=4).

VENV := .venv
BIN := $(VENV)/bin
PIP_ARGS ?=
ARGS ?=
TEST_JOBS ?= 2
# Several tests at a time have a thread each: PyTorch's threads wait for each other on shared cores.
ONE_THREAD := $(if $(filter-out 0 1,$(TEST_JOBS)),OMP_NUM_THREADS=1)
FITS := -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(shell $(p) $(FITS) 2>/dev/null && echo $(p))))

.PHONY: run test faults setup check lint save bench clean

run: setup
	$(BIN)/course run $(ARGS)

# The notebooks first: the learning tests read what they wrote for the stored seed.
test: setup
	$(BIN)/ruff check .
	$(BIN)/course check
	$(ONE_THREAD) COURSE_STATIC=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=600 notebooks
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal

# Broken downloads, files, weights and runs, many more of each than in `make test`.
faults: setup
	COURSE_FAULTS=long $(BIN)/python -m pytest tests/faults

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tests/constraints.txt
	@test -n "$(PYTHON)" || { echo "expected Python 3.11, 3.12 or 3.13, found none: install one, or name it with make PYTHON=/path/to/python"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "expected a Python with venv, found $(PYTHON) without: install it (Debian, Ubuntu: apt install python3-venv)"; exit 2; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c tests/constraints.txt -e ".[all,test]"
	@touch $@

# The first cell of every lesson, and all lessons but the third, in an environment like Colab's:
# Python 3.13 and the versions that Colab ships, without PyTorch. COLAB_PYTHON names a Python 3.13.
COLAB_PYTHON ?= python3.13
colab: setup
	$(COLAB_PYTHON) -m venv .colab
	grep -v '^torch==' tests/colab-versions.txt | .colab/bin/python -m pip install --quiet $(PIP_ARGS) -r /dev/stdin
	COLAB_PYTHON=$(CURDIR)/.colab/bin/python $(BIN)/python -m pytest tests/test_colab.py

check lint: setup
	$(BIN)/ruff check .
	$(BIN)/course check

save: setup
	$(BIN)/course save $(ARGS)

bench: setup
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) .colab runs build *.egg-info
