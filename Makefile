# Each target sets up what it needs. DATA=DIR gives demo, eval and bench your own pictures.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed

.PHONY: help setup demo test check eval parity bench simulation fuzz chaos docs lock clean

help:
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

$(SETUP): pyproject.toml .ci/dev.lock.txt
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/dev.lock.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check --disable-pip-version-check
	@touch $@

setup: $(SETUP)  ## install the locked environment into .venv

demo: $(SETUP)  ## read labels through a real Kafka and a real Triton, and write build/demo/report.html
	$(BIN)/labelwire demo $(if $(DATA),--data "$(DATA)")

eval: $(SETUP)  ## score DATA against its truth beside RapidOCR, or held-out labels: build/eval.json and .html
	$(BIN)/labelwire eval $(if $(DATA),--data "$(DATA)",--held-out --mosaic 8192x6144)

parity: $(SETUP)  ## compare how the profiles read DATA, a folder with truth: word F1 at most 0.002 apart
	$(BIN)/python -m tests.parity "$(or $(DATA),$(error give DATA=a folder with pictures and truth.jsonl))"

bench: $(SETUP)  ## throughput beside RapidOCR on the same cores: build/bench.json and .html
	$(BIN)/labelwire bench $(if $(DATA),--data "$(DATA)")

chaos: $(SETUP)  ## DURATION seconds of load under faults of a SEED, then the audit: build/chaos.json and .html
	$(BIN)/labelwire chaos $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(if $(DELIVERY),--delivery $(DELIVERY))

simulation: $(SETUP)  ## run SEEDS simulated runs (10000 unless told) in virtual time; a seed that fails replays exactly
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000)

fuzz: $(SETUP)  ## FILES damaged pictures (10000 unless told) through the decoders, for crashes, hangs and greed
	$(BIN)/python -m tests.fuzz --files $(or $(FILES),10000)

check: $(SETUP)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## everything in check, then all tests on real Kafka and real Triton
	$(BIN)/pytest

docs: $(SETUP)  ## write the generated pages of docs/
	$(BIN)/python -m worker.reporting.reference docs

lock:  ## pin every dependency anew, with hashes (needs uv, Maven and what setup installs)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
	  --extra dev pyproject.toml -o .ci/dev.lock.txt
	grep -E '^[a-zA-Z]' .ci/dev.lock.txt | sed 's/ \\$$//' > build/constraints.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  pyproject.toml -c build/constraints.txt -o docker/worker.lock.txt
	echo hatchling | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  - -c build/constraints.txt -o docker/build.lock.txt
	for name in java rapidocr; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
	    worker/local/locks/$$name.in -o worker/local/locks/$$name.txt; done
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --no-deps \
	  worker/local/locks/triton.in -o worker/local/locks/triton.txt
	$(BIN)/python -m worker.local.pins

clean:  ## remove what was built here (the download cache stays)
	rm -rf build .venv
