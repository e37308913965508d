# Needs make and Python 3.11 or newer; everything else goes into .venv. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

# Tests sync small files all the time: in memory, where there is room for 2 GB, they need not wait for each other's.
ROOM = "$$(test "$$(df -k --output=avail /dev/shm 2>&1 | tail -n 1)" -gt 2000000 2>&1 && echo /dev/shm || echo "$${TMPDIR:-/tmp}")"

# Many tests wait for what takes its time.
WORKERS = "$$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2))"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(READY) ## watch a directory and show its events (DIR=./playground)
	@$(if $(DIR),,mkdir -p playground)
	@exec $(BIN)/watcher dev "$(or $(DIR),playground)"

.PHONY: test
test: $(READY) ## run the tests (ARGS="-k name")
	@room=$$(mktemp -d -p $(ROOM)) && PYTEST_DEBUG_TEMPROOT=$$room $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile $(ARGS); \
		status=$$?; rm -rf "$$room"; exit $$status

.PHONY: deep
deep: $(READY) ## search for histories that are told wrongly, and for input that does harm (EXAMPLES=500)
	@DEEP_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/python -m pytest tests/property $(ARGS)

.PHONY: volumes
volumes: $(READY) ## run the tests that mount (as root, with /dev/fuse; installs Debian packages; ARGS="-k name")
	@.ci/volumes $(BIN)/python $(ARGS)

.PHONY: crashes
crashes: $(READY) ## kill, turn the clock, be every kind of client (ROUNDS=200; installs Debian packages)
	@CRASH_ROUNDS=$(or $(ROUNDS),200) .ci/crashes $(BIN)/python $(ARGS)

.PHONY: abuse
abuse: $(READY) ## be ten thousand clients, and every kind that means harm (ARGS="-k name")
	@.ci/abuse $(BIN)/python $(ARGS)

.PHONY: interop
interop: $(READY) ## run the real Argo Events against the server (as root; installs Debian packages and Go; ARGS="-k name")
	@.ci/interop $(BIN)/python $(ARGS)

.PHONY: cluster
cluster: $(READY) ## judge deploy/ and examples/ (API_SERVER=1 asks a Kubernetes API server, and compiles it first)
	@API_SERVER=$(API_SERVER) .ci/cluster $(BIN)/python $(ARGS)

.PHONY: browser
browser: $(READY) ## look at the status page in Chromium (installs a Debian package; pictures in build/pictures)
	@.ci/browser $(BIN)/python $(ARGS)

.PHONY: pictures
pictures: $(READY) ## take the pictures of docs/images again
	@PICTURES=docs/images .ci/browser $(BIN)/python -k pictures

.PHONY: rules
rules: ## check and test the Prometheus rules (installs a Debian package)
	@.ci/monitoring

.PHONY: workflows
workflows: $(READY) ## check .github/workflows (installs a Debian package and Go)
	@.ci/workflows $(BIN)/python

.PHONY: check
check: $(READY) ## check style, format, types, the direction of imports and the Dockerfile
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/hadolint Dockerfile

.PHONY: format
format: $(READY) ## format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format

.PHONY: proto
proto: $(READY) ## generate watcher/_proto from proto/
	@.ci/proto "$(CURDIR)/$(BIN)/python" "$(CURDIR)"

.PHONY: lock
lock: $(BIN)/uv ## resolve the locks again (UPGRADE=1 takes new versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements-dev.lock --constraint requirements.lock --group dev pyproject.toml

.PHONY: image
image: ## build the container image (with docker, podman or buildah; IMAGE=watcher)
	@.ci/image "$(or $(IMAGE),watcher)"

.PHONY: image-test
image-test: $(READY) ## build the container image without a daemon and test it (as root; installs Debian packages; ARGS="-k name")
	@.ci/image-test $(BIN)/python $(ARGS)

.PHONY: clean
clean: ## remove the virtual environment, caches and what was built
	@rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find watcher tests -name __pycache__ -prune -exec rm -rf {} +

# The environment is complete when $(READY) is there and newer than what it was made from.
$(READY): requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (a minute or two the first time)"
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments; install its venv package (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(BIN)/uv: | $(BIN)/python
	@$(PIP) install uv
