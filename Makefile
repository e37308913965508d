# Needs make and Python 3.11 or newer; everything else is installed into .venv.
# `make` alone lists the targets. Targets with tests take ARGS="-k name".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock"

# More workers than processors, since many tests wait, and some do little else.
PROCESSORS = $$(getconf _NPROCESSORS_ONLN)
WORKERS = "$$(($(PROCESSORS) * 2))"
WAITING_WORKERS = "$$(($(PROCESSORS) * 5 / 2))"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Without compiled modules, each of the processes that tests start compiles all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(READY) ## watch a directory and print its events (DIR=./playground)
	@$(if $(DIR),,mkdir -p playground)
	@exec $(BIN)/watcher dev "$(or $(DIR),playground)"

PYTEST = .ci/in-room $(BIN)/python -m pytest
# Of tests with many cases that take long a sample runs: in `make test` unless ALL is given, in other
# targets if PART is.
SAMPLED = SAMPLE=$(if $(ALL),,1)
SAMPLED_PART = SAMPLE=$(if $(PART),1)

.PHONY: test
test: $(READY) ## run the fast tests, which need nothing beyond PyPI (ARGS="-k name", ALL=1: all cases)
	@$(SAMPLED) $(PYTEST) --numprocesses=$(WORKERS) --dist=loadfile \
		-m "not stores" $(ARGS)

.PHONY: e2e
e2e: $(READY) ## run the tests of the whole process and the scenarios, which need nothing beyond PyPI
	@$(PYTEST) tests/e2e tests/scenarios --numprocesses=$(WAITING_WORKERS) \
		--dist=loadfile -m "not stores" $(ARGS)

.PHONY: property
property: $(READY) ## run the rules over random histories and input, the same each time (PART=1: a third)
	@PART=$(PART) $(BIN)/python -m pytest tests/property --numprocesses=$(WORKERS) --dist=worksteal $(ARGS)

PORTABLE_TESTS = $(BIN)/python tests/support/portable_tests.py

.PHONY: portable
portable: $(READY) ## run tests with the backend for other systems (LIST=1: list them; PART=1: a part)
	@$(if $(LIST),$(PORTABLE_TESTS) --list,PORTABLE=1 $(PYTEST) \
		--numprocesses=$(WORKERS) --dist=loadfile -m "not stores" $(ARGS) \
		$$($(PORTABLE_TESTS) $(if $(PART),--part)))

.PHONY: deep
deep: $(READY) ## search random histories and input for failures (EXAMPLES=500)
	@DEEP_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/python -m pytest tests/property $(ARGS)

.PHONY: volumes
volumes: $(READY) ## run the tests with mounts and real tools (as root; Debian packages; PART=1)
	@$(SAMPLED_PART) .ci/volumes $(BIN)/python $(ARGS)

.PHONY: crashes
crashes: $(READY) ## run the tests with kills, clock jumps and hostile clients (ROUNDS=200)
	@CRASH_ROUNDS=$(or $(ROUNDS),200) .ci/crashes $(BIN)/python $(ARGS)

.PHONY: abuse
abuse: $(READY) ## run the tests with ten thousand clients, floods and bombs (PART=1: a part)
	@$(SAMPLED_PART) .ci/abuse $(BIN)/python $(ARGS)

.PHONY: interop
interop: $(READY) ## run the tests with the real Argo Events (as root; installs Debian packages, Go)
	@.ci/interop $(BIN)/python $(ARGS)

.PHONY: stores
stores: $(READY) ## run the tests that need real S3 servers (installs Go)
	@.ci/stores $(BIN)/python $(ARGS)

.PHONY: ceph
ceph: $(READY) ## test buckets on Ceph's object gateway (as root; installs Debian packages)
	@.ci/ceph $(BIN)/python $(ARGS)

.PHONY: replicas
replicas: $(READY) ## run the tests of state in PostgreSQL (installs Debian packages; ROUNDS=4, PART=1)
	@$(SAMPLED_PART) REPLICAS_ROUNDS=$(or $(ROUNDS),4) PART=$(PART) .ci/replicas $(BIN)/python $(ARGS)

.PHONY: kernels
kernels: $(READY) ## test NFS, SMB, FAT and casefold on Debian's kernel (as root; KINDS="nfs4 cifs")
	@KINDS="$(KINDS)" .ci/kernels $(BIN)/python $(ARGS)

.PHONY: cluster
cluster: $(READY) ## test deploy/ and examples/ (API_SERVER=1: also by an API server, compiled first)
	@API_SERVER=$(API_SERVER) .ci/cluster $(BIN)/python $(ARGS)

.PHONY: node
node: $(READY) ## run the chart on a Kubernetes node (as root; installs Debian packages; compiled first)
	@.ci/node $(BIN)/python $(ARGS)

.PHONY: browser
browser: $(READY) ## test the status page in Chromium (pictures in build/pictures)
	@.ci/browser $(BIN)/python $(ARGS)

.PHONY: pictures
pictures: $(READY) ## take the pictures of docs/images
	@PICTURES=docs/images .ci/browser $(BIN)/python -k pictures

.PHONY: bench
bench: $(READY) ## measure the table of speed in 15 minutes (installs watchfiles; ARGS="--only burst")
	@$(PIP) install watchfiles
	@$(BIN)/python bench/table.py $(ARGS)

.PHONY: rules
rules: ## check and test the Prometheus rules
	@.ci/monitoring

.PHONY: workflows
workflows: $(READY) ## check .github/workflows (installs Go)
	@.ci/workflows $(BIN)/python

.PHONY: check
check: $(READY) ## check style, format, types, layers and the Dockerfile
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/hadolint Dockerfile

.PHONY: format
format: $(READY) ## format the code, and fix what can be fixed automatically
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format

.PHONY: proto
proto: $(READY) ## generate watcher/_proto from proto/
	@.ci/proto "$(CURDIR)/$(BIN)/python" "$(CURDIR)"

.PHONY: lock
lock: $(BIN)/uv ## resolve the locked dependencies (UPGRADE=1: new versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.lock \
		--extra postgresql pyproject.toml
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements-dev.lock \
		--constraint requirements.lock --extra postgresql --group dev pyproject.toml

.PHONY: image
image: ## build the container image with docker, podman or buildah (IMAGE=watcher)
	@.ci/image "$(or $(IMAGE),watcher)"

.PHONY: image-test
image-test: $(READY) ## build the container image without a daemon and test it (as root)
	@.ci/image-test $(BIN)/python $(ARGS)

.PHONY: clean
clean: ## remove the virtual environment, caches and build results
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find watcher tests -name __pycache__ -prune -exec rm -rf {} +

# The environment is complete when $(READY) is newer than the files that it was made from.
$(READY): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (a minute the first time)"
	@.ci/environment $(BIN)/python
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments; install its venv package (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(BIN)/uv: | $(BIN)/python
	@$(PIP) install uv
