# Everything from nothing: each target first sets up .venv as far as it needs, and only once.
# A second call finds the stamp files and needs no network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := 2.13.0
# Files to test, such as `make test TESTS=tests/lm`.
TESTS ?= tests
# Benchmarks that need recordings of ESC-10.
RECORDED := int8_quality near_copies bundled_model latent_codec fingerprints speech_detection
# Those that need more, such as finished runs or other projects' code; each says itself what.
GIVEN := bundled_scorers captioner_study corpus_media corpus_resume corpus_scale corpus_study \
	espeak genau_silence genau_study parity_encoders preference_study rr_representations \
	serving_load serving_process serving_uploads

.PHONY: help setup demo test test-browser lint format bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    generate ten sounds with the bundled model into demo/"
	@echo "make test    run all tests (TESTS=tests/lm for some)"
	@echo "make test-browser  run the pages' tests in Chromium, which must be installed with chromedriver"
	@echo "make lint    ruff, pyright and the import contracts"
	@echo "make format  let ruff mend what it can"
	@echo "make bench   run the benchmarks (not tests: they measure)"
	@echo "make setup   only install everything for development into $(VENV)"
	@echo "make clean   remove $(VENV) and demo/"

demo: $(VENV)/.core
	$(BIN)/soundwright demo --out demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

# Without a browser these tests skip in `make test`; here they fail.
test-browser: $(VENV)/.dev
	SOUNDWRIGHT_BROWSER=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# `make bench RECORDINGS=FOLDER` measures the bundled model on recordings as well; FOLDER holds ESC-10.
bench: $(VENV)/.dev
	$(BIN)/soundwright bench
	@for name in $(filter-out $(RECORDED) $(GIVEN),$(basename $(notdir $(wildcard benchmarks/*.py)))); do \
		echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json || exit 1; \
	done
	@if [ -n "$(RECORDINGS)" ]; then for name in $(RECORDED); do \
		echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py --recordings "$(RECORDINGS)" \
			--out benchmarks/results/$$name.json || exit 1; \
	done; else echo "Left out without RECORDINGS=FOLDER: $(RECORDED)"; fi
	@echo "To be started by hand, with what they need: $(GIVEN)"

setup: $(VENV)/.dev

clean:
	rm -rf $(VENV) demo

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Soundwright needs Python 3.11 or newer; set PYTHON=/path/to/python3."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt pip
	@touch $@

# The CPU build where no NVIDIA device is found and pip offers it (PIP_EXTRA_INDEX_URL names further
# indexes), else the normal one.
$(VENV)/.torch: $(VENV)/.python
	@echo "Installing torch $(TORCH) ..."
	@{ ! nvidia-smi -L >/dev/null 2>&1 \
		&& $(PIP) install --quiet -c constraints.txt "torch==$(TORCH)+cpu" 2>/dev/null; } \
		|| $(PIP) install --quiet -c constraints.txt "torch==$(TORCH)"
	@touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "Installing soundwright ..."
	@$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "Installing soundwright with everything for development ..."
	@$(PIP) install --quiet -c constraints.txt -e ".[all]" --group dev
	@touch $@ $(VENV)/.core
