# make study    install everything and run the default study
# make test     install everything, check the code and run the tests
PYTHON ?= python3
STUDY ?= config/config.yaml
CORES ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
PYTEST := pytest --numprocesses 2 --dist loadgroup
EXTRA := slow or cluster or browser or download
# Caches of the programs that the tests start stay in the checkout.
CACHES := XDG_CACHE_HOME=$(CURDIR)/.cache XDG_CONFIG_HOME=$(CURDIR)/.cache

NO_MKDOCS_2_WARNING := 1
export NO_MKDOCS_2_WARNING

.PHONY: help install study announce test test-all lint format schema docs tensorboard bench cluster cluster-down clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed  ## Install everything into .venv (quick if nothing changed)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; choose one with make PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/installed

study: install  ## Run a study (STUDY=config/studies/NAME.yaml for another)
	@scoresweep plan $(STUDY)
	snakemake --cores $(CORES) --configfile $(STUDY) --quiet rules host reason

test: install lint  ## Check the code and run the tests, in minutes; writes only to the checkout
	$(CACHES) $(PYTEST) -m 'not ($(EXTRA))'

announce:
	@echo "All tests run, also slow ones. As root on Debian, these change the machine:"
	@echo "- apt-get installs slurm-wlm, slurmdbd, munge, mariadb-server, chromium and"
	@echo "  texlive-latex-recommended, if missing"
	@echo "- a four-node SLURM cluster runs meanwhile: /etc/slurm, /var/lib/scoresweep-cluster, and"
	@echo "  its nodes in /etc/hosts; it is removed afterwards"
	@echo "- published datasets and weights (0.4 GB) are downloaded to ~/.cache/scoresweep"

test-all: announce install .venv/docs-installed lint  ## The same with all tests: slow, SLURM, browser, downloads (Debian, root)
	@# One process runs the cluster tests, which mostly wait, beside the two that keep the cores busy.
	SCORESWEEP_CLUSTER_TESTS=require SCORESWEEP_BROWSER_TESTS=require \
	  SCORESWEEP_DOWNLOAD_TESTS=require $(PYTEST) --numprocesses 3

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

schema: install  ## Write the JSON schemas of study files and of --json
	scoresweep schema > workflow/schemas/study.schema.json
	scoresweep schema --of status > docs/schemas/status.schema.json
	scoresweep schema --of plan > docs/schemas/plan.schema.json

docs: .venv/docs-installed  ## Build the documentation: build/site/index.html, to be read offline
	mkdocs build --quiet
	@echo "build/site/index.html"

.venv/docs-installed: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch .venv/docs-installed

LINK = study=$${run\#results/}; links=results/.tensorboard/$${study%%/*}; \
  mkdir -p $$links && ln -sfn ../../../$$run/tensorboard $$links/$${run\#\#*/}

tensorboard: install  ## Show the curves of all studies, including running ones
	@ls -d results/*/runs/*/tensorboard > /dev/null 2>&1 || \
	  { echo "results/ has no runs yet; run make study first"; exit 2; }
	@rm -rf results/.tensorboard
	@link() { for run in results/*/runs/*; do $(LINK); done; }; link; \
	  while sleep 20; do link; done & trap "kill $$!" EXIT; \
	  tensorboard --logdir results/.tensorboard

bench: install  ## Run all benchmarks, in half an hour (PEER=checkout of ermongroup/ncsnv2)
	python benchmarks/run_all.py $(if $(PEER),--peer $(PEER))

cluster: install  ## Start a four-node SLURM cluster on this machine, to try the profile (Debian, root)
	python tests/cluster/slurm_cluster.py up

cluster-down: install  ## Stop that cluster and remove its files
	python tests/cluster/slurm_cluster.py down

clean:  ## Remove .venv, .snakemake, results and data
	rm -rf .venv .snakemake results data
