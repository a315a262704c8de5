# Set-up is part of every target: a virtual environment in .venv with uv and the pinned versions of constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e

.PHONY: help demo test test-slow bench site docs smoke lint audit format methods wheel constraints clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: .venv/core  ## compare methods on photographs, each on the noise it is for: runs/demo/report.html (minutes the first time, seconds the second)
	$(BIN)/denoisebench run -m experiment=demo launcher=joblib hydra.launcher.n_jobs=2
	$(BIN)/denoisebench run -m experiment=demo_camera launcher=joblib hydra.launcher.n_jobs=2
	$(BIN)/denoisebench report demo

test: .venv/dev  ## run the tests, about 13 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

test-slow: .venv/dev  ## run the learning and kill tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n 2 --dist worksteal $(ARGS)

bench: .venv/bench  ## speed against the released procedures and other packages, about 10 minutes (ARGS=--scale: against image size)
	$(BIN)/python benchmarks/speed.py $(ARGS)

site: .venv/core  ## write the site of the committed studies: public/index.html
	$(BIN)/denoisebench site experiments/*/*.pack.zip --to public

docs: .venv/docs  ## build the documentation site: build/site/index.html
	$(BIN)/python docs/build.py

smoke: .venv/dev  ## build wheel and sdist, and try both in a bare environment of each installed Python
	.ci/smoke dist

lint: .venv/dev  ## ruff, pyright, import layers, advisories on dependencies
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	@$(BIN)/python .ci/audit.py

audit: .venv/uv  ## advisories on the pinned dependencies (skipped offline)
	@$(BIN)/python .ci/audit.py

format: .venv/dev  ## format the code
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

methods: .venv/core  ## write the tables of docs/methods.md, docs/published.md and README.md
	$(BIN)/python docs/methods.py
	$(BIN)/python docs/standings.py

wheel: .venv/dev  ## build dist/*.whl
	$(BIN)/python -m build --wheel --installer uv

constraints: .venv/uv  ## pin the newest versions of all dependencies
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra docs --extra bench --extra tiff --upgrade \
	  --no-header --no-annotate --no-emit-index-url -o constraints.txt pyproject.toml

clean:  ## remove the environment, caches and builds (results in runs/ stay)
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "denoisebench needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -h '^uv==' constraints.txt || echo uv)"
	@touch $@

.venv/core: .venv/uv pyproject.toml constraints.txt
	$(INSTALL) .
	@touch $@

.venv/dev: .venv/uv pyproject.toml constraints.txt
	$(INSTALL) '.[dev]'
	@touch $@ .venv/core

.venv/bench: .venv/dev
	$(INSTALL) '.[bench]'
	@touch $@

.venv/docs: .venv/dev
	$(INSTALL) '.[docs]'
	@touch $@
