# Each target sets up what it needs. DATA=DIR gives demo, eval and bench your own pictures.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
UPGRADE ?= --upgrade

.PHONY: help setup install demo test check-deps setup-test image-test tensorrt-test doctr-test check eval parity bench gpu-bench simulation fuzz properties chaos docs lock clean

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

# Locks are complete: nothing is resolved, so what is released later changes nothing. PKG_CONFIG=false keeps pyvips from
# being built against a libvips of this machine; the worker brings its own.
$(SETUP): pyproject.toml .ci/dev.lock.txt docker/build.lock.txt
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: -r docker/build.lock.txt
	@PKG_CONFIG=false $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --no-binary=pyvips,font-roboto --no-build-isolation -r .ci/dev.lock.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@$(BIN)/pip check --disable-pip-version-check
	@touch $@

setup: $(SETUP)  ## install the locked environment into .venv

install: $(SETUP)  ## install a worker into PREFIX, the same as in the image: without tools and tests
	@test -n "$(PREFIX)" || { echo "PREFIX is not set: give the folder, as in make install PREFIX=/opt/labelwire"; exit 2; }
	rm -rf build/wheels
	$(PYTHON) -m venv --without-pip "$(PREFIX)"
	$(BIN)/pip --python "$(PREFIX)/bin/python" install --quiet --no-deps --require-hashes --only-binary=:all: -r docker/worker.lock.txt
	PKG_CONFIG=false $(BIN)/pip wheel --quiet --no-deps --require-hashes --no-binary=:all: --no-build-isolation --wheel-dir build/wheels -r docker/source.lock.txt
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir build/wheels .
	$(BIN)/pip --python "$(PREFIX)/bin/python" install --quiet --no-deps --no-index --find-links build/wheels labelwire pyvips
	$(BIN)/pip --python "$(PREFIX)/bin/python" check

demo: $(SETUP)  ## read labels with a real Kafka and a real Triton; writes build/demo/report.html
	$(BIN)/labelwire demo $(if $(DATA),--data "$(DATA)")

eval: $(SETUP)  ## score DATA against its truth, compared with RapidOCR, or held-out labels; writes build/eval.json and .html
	$(BIN)/labelwire eval $(if $(DATA),--data "$(DATA)",--held-out --mosaic 8192x6144)

parity: $(SETUP)  ## check that both profiles read DATA, a folder with truth.jsonl, alike: word F1 within 0.002
	$(BIN)/python -m tests.parity "$(or $(DATA),$(error give DATA=a folder with pictures and truth.jsonl))"

bench: $(SETUP)  ## measure throughput, compared with RapidOCR on the same cores; writes build/bench.json and .html
	$(BIN)/labelwire bench $(if $(DATA),--data "$(DATA)") $(if $(ON),--on $(ON))

gpu-bench: $(SETUP)  ## measure FP32, FP16 and INT8 on an NVIDIA GPU in 8 minutes; writes build/gpu-bench.json and .html
	$(BIN)/labelwire gpu-bench $(if $(DATA),--data "$(DATA)")

chaos: $(SETUP)  ## run DURATION seconds of load under the faults of a SEED, then audit; writes build/chaos.json and .html
	$(BIN)/labelwire chaos $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(if $(DELIVERY),--delivery $(DELIVERY))

simulation: $(SETUP)  ## simulate SEEDS runs (default 10000) in virtual time; a seed that fails replays exactly
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000)

fuzz: $(SETUP)  ## decode FILES damaged pictures (default 10000); fails on crashes, hangs and high memory use
	$(BIN)/python -m tests.fuzz --files $(or $(FILES),10000)

properties: $(SETUP)  ## test properties with other values than make test, and with more where a test names no number (minutes)
	$(BIN)/pytest -m hypothesis --hypothesis-profile "other values" --numprocesses auto

check: $(SETUP)  ## check format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# pip-audit is in no lock: it needs advisories that only some machines reach. It is named in PIP_AUDIT, or on the PATH.
check-deps: $(SETUP)  ## list what is shipped with its licenses, and look for known weaknesses (needs pip-audit and a network)
	@$(BIN)/python -m tests.setup.dependency_audit

# Three at once, each with a Kafka and a Triton of its own: the longest tests wait for groups and brokers. Files come in the
# order of tests/conftest.py, the long ones first; by itself, the plugin puts those with few tests last.
test: check  ## run check, then all tests, on a real Kafka and a real Triton
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

setup-test: $(SETUP)  ## test make setup with each supported Python found here, with newer releases available (minutes)
	$(BIN)/pytest -m setup tests/setup

image-test: $(SETUP)  ## build the worker image and read labels in it (minutes; needs root, buildah and debootstrap)
	$(BIN)/pytest -m image tests/docker

tensorrt-test: $(SETUP)  ## build plans of all ONNX graphs with TensorRT for RTX, which it fetches (minutes; needs no GPU)
	$(BIN)/pytest -m tensorrt tests/models

# docTR and torch take 6 GB, so they are in no lock and are not fetched here.
doctr-test: $(SETUP)  ## train and import two docTR models, read an export by docTR (minutes; DOCTR=a Python with python-doctr)
	LABELWIRE_DOCTR_PYTHON="$(or $(DOCTR),$(error give DOCTR=a Python interpreter that has python-doctr))" $(BIN)/pytest -m doctr tests/models tests/training

docs: $(SETUP)  ## write the generated pages of docs/ and the generated files of the chart
	$(BIN)/python -m worker.reporting.generated_docs docs
	$(BIN)/python -m worker.reporting.dashboards helm/labelwire/dashboards
	$(BIN)/python -m worker.lab.chart_values helm/labelwire

LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

# One resolution, of everything; what the images take is cut from it. docker/source.lock.txt is what has no wheels.
lock:  ## update and pin all dependencies, with hashes (needs uv and Maven; UPGRADE= keeps pinned versions)
	mkdir -p build
	$(LOCK) $(UPGRADE) --extra dev pyproject.toml -o .ci/dev.lock.txt
	grep -E '^[a-zA-Z]' .ci/dev.lock.txt | sed 's/ \\$$//' > build/constraints.txt
	$(LOCK) pyproject.toml -c build/constraints.txt --no-emit-package pyvips -o docker/worker.lock.txt
	echo pyvips | $(LOCK) - -c build/constraints.txt --no-deps -o docker/source.lock.txt
	$(LOCK) docker/build.in -c build/constraints.txt -o docker/build.lock.txt
	echo cyclonedx-bom | $(LOCK) - -c build/constraints.txt -o docker/sbom.lock.txt
	$(LOCK) --extra models pyproject.toml -c build/constraints.txt --no-emit-package pyvips \
	  $$(grep -oE '^[a-zA-Z][a-zA-Z0-9._-]*==' docker/worker.lock.txt | sed 's/==//; s/^/--no-emit-package /') \
	  -o docker/models.lock.txt
	for name in java rapidocr profile; do \
	  $(LOCK) $(UPGRADE) worker/local/locks/$$name.in -o worker/local/locks/$$name.txt; done
	for name in triton tensorrt cuda redis; do \
	  $(LOCK) $(UPGRADE) --no-deps worker/local/locks/$$name.in -o worker/local/locks/$$name.txt; done
	$(MAKE) setup
	$(BIN)/python -m tests.setup
	$(BIN)/python -m worker.local.pin_kafka

clean:  ## remove build and .venv (keeps the download cache)
	rm -rf build .venv
