# One vocabulary for people, hooks and CI. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help demo up down status doctor env torch test check format bench bench-automl bench-serving clean hooks

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.8
# an environment that forbids bytecode makes every start seconds slower
export PYTHONDONTWRITEBYTECODE =

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## from a CSV to a served prediction; DATA=file TARGET=column for your own
	@$(BIN)/python -m infra.local demo $(if $(DATA),--data "$(DATA)") $(if $(TARGET),--target "$(TARGET)") $(if $(BUDGET),--budget $(BUDGET))

up: $(VENV)/.installed ## start the stack; again changes nothing
	@$(BIN)/python -m infra.local up

down: $(VENV)/.installed ## stop the stack: no process, port or lock stays
	@$(BIN)/python -m infra.local down

status: $(VENV)/.installed ## what runs
	@$(BIN)/python -m infra.local status

doctor: $(VENV)/.installed ## what is wrong and what to do
	@$(BIN)/python -m infra.local doctor

env: $(VENV)/.installed ## variables of the running stack: eval "$$(make -s env)"
	@$(BIN)/python -m infra.local env

torch: $(VENV)/.torched ## PyTorch, for neural networks and the autoencoder of rare classes

test: $(VENV)/.developed $(VENV)/.torched ## all tests
	@$(BIN)/python -m pytest

check: $(VENV)/.developed ## style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.developed ## bring the code into shape
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/.developed $(VENV)/.torched ## measure what the README claims
	@$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-json=.millrace-bench.json -s

bench-automl: $(VENV)/.developed $(VENV)/.torched ## compare our AutoML with its peers on a dozen tables, a minute each
	@$(BIN)/python -m tests.benchmarks.automl

bench-serving: $(VENV)/.developed ## hold the model server to its bars, beside MLflow's and a plain FastAPI
	@$(BIN)/python -m tests.benchmarks.serving

containerize: $(VENV)/.installed ## an OCI image of a released model's newest Bento: MODEL=adult
	@BENTOML_HOME=$${MILLRACE_SERVING__HOME:-.millrace/serving}/bentoml $(BIN)/bentoml containerize $(MODEL):latest

hooks: $(VENV)/.developed ## have git run `make check` before every commit
	@$(BIN)/pre-commit install

clean: ## stop the stack and delete the environment and everything it kept
	@test ! -f $(VENV)/.installed || $(BIN)/python -m infra.local down
	rm -rf $(VENV) .millrace .bench-automl .millrace-bench.json .millrace-bench-serving.json .pytest_cache .mypy_cache .ruff_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$($(PYTHON) --version) is too old; set PYTHON to a Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)

# a CPU build is taken from PIP_FIND_LINKS where there is one; elsewhere the registry's comes
# with CUDA. What it needs is held to the versions of its own lock (docs/adr/0003).
$(VENV)/.torched: requirements-torch.lock $(VENV)/.installed
	@echo "installing PyTorch"
	@UV_FIND_LINKS="$(PIP_FIND_LINKS)" $(BIN)/uv pip install --quiet --python $(BIN)/python --constraints requirements-torch.lock torch
	@touch $@

# the lock names every package, so nothing is resolved here
$(VENV)/.installed: requirements.lock | $(BIN)/uv
	@echo "installing the locked packages"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.lock
	@touch $@

$(VENV)/.developed: requirements-dev.lock $(VENV)/.installed
	@echo "installing the locked development packages"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements-dev.lock
	@touch $@
