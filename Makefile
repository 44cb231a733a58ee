# make study    install everything and run the default study
# make test     install everything, check the code and run the tests
PYTHON ?= python3
STUDY ?= config/config.yaml
CORES ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install study test lint format schema tensorboard cluster cluster-down clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/installed  ## Make .venv with everything in it (quick when nothing changed)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/installed

study: install  ## Run a study (STUDY=config/studies/NAME.yaml for another)
	@scoresweep plan $(STUDY)
	snakemake --cores $(CORES) --configfile $(STUDY) --quiet rules host reason

test: install lint  ## Check the code and run the tests
	pytest --numprocesses 2 --dist loadgroup

lint: install
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

format: install  ## Format the code
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

schema: install  ## Write the JSON schema of study files
	scoresweep schema > workflow/schemas/study.schema.json

tensorboard: install  ## Show the curves of all studies
	tensorboard --logdir results

cluster: install  ## Start a SLURM of four nodes on this machine, to try the profile (Debian, root)
	python tests/cluster/slurm_cluster.py up

cluster-down: install  ## Stop it and take away all that it wrote
	python tests/cluster/slurm_cluster.py down

clean:  ## Remove the environment and everything that was made
	rm -rf .venv .snakemake results data
