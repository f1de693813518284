# What a newcomer guesses: make demo, make test, make lint, make format, make bench.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/.ready
PY := $(BIN)/python

.PHONY: demo test test-slow lint format bench bench-full bench-downstream constraints clean \
	bench-duplicates bench-views bench-scan bench-overlay bench-strategies bench-peers bench-stages bench-richness

demo: $(READY)
	@$(BIN)/diversity demo

# one thread per worker: the models of the tests are too small to share a layer between cores
test: $(READY)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile

test-slow: $(READY)
	@$(PY) -m pytest -m slow

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(READY)
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# under 20 minutes on two idle cores
bench: $(READY)
	-@$(PY) -m benchmarks

# everything: an hour or more
bench-full: $(READY)
	-@$(PY) -m benchmarks --full

bench-scan bench-duplicates bench-views bench-overlay bench-strategies: bench-%: $(READY)
	@$(PY) -m benchmarks.$*

# exits 1 where a promise is missed; the figures are written all the same
bench-peers: $(READY)
	-@$(PY) -m benchmarks.peers

bench-stages: $(READY)
	@$(PY) -m benchmarks.profile_stages

# hours; goes on where it stopped
bench-downstream: $(READY)
	@$(PY) -m benchmarks.strategies --downstream

# hours; goes on where it stopped
bench-richness: $(READY)
	@$(PY) -m benchmarks.richness && $(PY) -m benchmarks.richness.report

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; pass one with PYTHON=…"; exit 1; }
	@echo "Setting up .venv (a few minutes at most; most of it is PyTorch) …"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip -q
	@$(PY) -m pip install -q --disable-pip-version-check uv
	@$(PY) -m uv pip install -q --python $(PY) -c constraints.txt -e '.[train,dev]'
	@touch $@

constraints: $(READY)
	@$(PY) -m uv pip compile -q --upgrade --universal --all-extras --no-annotate --no-header pyproject.toml -o constraints.txt

clean:
	rm -rf .venv build *.egg-info diversity-demo
