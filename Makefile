# make demo   simulate a small movie, run the pipeline on it, compare with the truth
# make test   the whole test suite
# make test-fast   the tests that take no run of the workflow: for every change, before the whole suite
# make coverage   the whole suite with coverage, which takes a third longer; less than 90 % fails
# make check  format, lint, types, layers, workflow; the same before each commit: pre-commit install
# make test-slurm   a run on a SLURM cluster that it starts itself (Debian's packages, root)
# make bench  measure speed and memory (QUICK=1: in about two minutes); make performance: the page
# make train  train the network of segment.method unet (PyTorch; 20 minutes; QUICK=1: a minute)
# make docs   the documentation as a site, in docs/_build; make pictures: the pictures in it
# All make .venv with pinned versions first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRAIN := .venv-train
TRAIN_READY := $(TRAIN)/.ready
PYTHON_CODE := src tests scripts benchmarks training docs/conf.py docs/extensions docs/pictures

.PHONY: help install demo test test-fast coverage test-slurm check format bench performance train documents docs pictures clean

help:
	@sed -n 's/^# //p' Makefile

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || { apt-get install -y python3-venv && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	@touch $@

demo: $(READY)
	$(BIN)/fovflow demo demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTFLAGS)

coverage: $(READY)
	$(MAKE) test TESTFLAGS="--cov --cov-report=term --cov-fail-under=90 $(TESTFLAGS)"

test-fast: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not workflow and not slow and not slow_kills and not slow_injection and not slow_sequences" $(TESTFLAGS)

test-slurm: $(READY)
	PYTHON=$(CURDIR)/$(BIN)/python tests/slurm/run.sh

check: $(READY)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint --cores 1
	$(BIN)/snakemake --lint --cores 1 --snakefile workflow/Snakefile

format: $(READY)
	$(BIN)/ruff format $(PYTHON_CODE)
	$(BIN)/ruff check --fix $(PYTHON_CODE)
	$(BIN)/snakefmt Snakefile rules workflow

bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick,--json docs/performance.json)

performance: $(READY)
	$(BIN)/python -m benchmarks.page

# Tests pin SymPy and mpmath otherwise (PEtab) than PyTorch takes them: both have environments of their own.
$(TRAIN_READY): pyproject.toml constraints.txt
	[ -d $(TRAIN) ] || $(PYTHON) -m venv $(TRAIN)
	grep -vE '^(sympy|mpmath)==' constraints.txt > $(TRAIN)/constraints.txt
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check -c $(TRAIN)/constraints.txt \
		-e ".[train]" pytest hypothesis $(TORCH)
	@touch $@

train: $(TRAIN_READY)
	$(TRAIN)/bin/python -m fovflow train $(or $(DATA),../shared/data/t98g_manual) --pixel-um 0.8708 --from-scratch \
		$(if $(QUICK),--steps 200 --crop 160 --out $(or $(OUT),$(TRAIN)/unet.onnx),--steps 4500 --all --out src/fovflow/segmentation/unet.onnx)

documents: $(READY)
	$(BIN)/python -m fovflow.config.documents config

docs: $(READY)
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs docs/_build
	@echo "docs/_build/index.html"

pictures: demo
	$(BIN)/python docs/pictures/draw.py demo docs/pictures

clean:
	rm -rf $(VENV) demo docs/_build .snakemake
