# Needs Python 3.11 or newer and make; everything else comes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test long lint format train docs addon figures soak fuzz prove mutate faults lock sbom audit oldest clean

demo: .venv/.base  ## Detect words in the packaged recording, then report the power of the chip
	$(BIN)/kws-stream detect --model commands-12 kws_stream/_data/demo.flac
	@echo
	$(BIN)/kws-stream --power-report

test: .venv/.test  ## Run all tests; those of the training code skip where PyTorch is missing
	$(BIN)/python -m pytest tests --numprocesses logical --maxprocesses 4 --dist worksteal

long: .venv/.test  ## Run the tests that take minutes: real clients from PyPI, in environments of their own
	$(BIN)/python -m pytest tests/long

lint: .venv/.dev  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev  ## Format, and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

train: .venv/.train  ## Install what training needs and show its options
	$(BIN)/python scripts/train.py --help

docs: .venv/.docs  ## Build the documentation as a site in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "built build/site/index.html"

addon:  ## Write the add-on of Home Assistant as build/home-assistant, from the last commit
	rm -rf build/home-assistant
	mkdir -p build/home-assistant
	git archive HEAD | tar -x -C build/home-assistant
	cp packaging/home-assistant/config.json build/home-assistant
	cat packaging/Containerfile packaging/home-assistant/Containerfile.end > build/home-assistant/Dockerfile

figures: .venv/.train  ## Measure the models in MODELS again: DATA, PICTURES and HELD_OUT say where the data is
	$(BIN)/python scripts/figures.py measure $(MODELS) --data $(DATA) --pictures $(PICTURES) --held-out $(HELD_OUT)
	$(BIN)/python scripts/figures.py write

soak: .venv/.test  ## Hear 24 hours of sound with every model, in minutes each
	$(BIN)/python scripts/soak.py

fuzz: .venv/.fuzz  ## Fuzz everything that reads what strangers send, MINUTES=10 for each target
	$(BIN)/python -m fuzz --minutes $(or $(MINUTES),10)

prove: .venv/.test  ## Prove with CBMC that the exported C stays within its arrays and numbers, where cbmc is installed
	$(BIN)/python -m fuzz.prove

mutate: .venv/.mutate  ## Change the code at PLACES=40 places of each area and see which tests notice
	$(BIN)/python scripts/mutate.py --places $(or $(PLACES),40)

faults: .venv/.test  ## Let disks, processes and clients fail at every moment of every command: minutes
	$(BIN)/python -m pytest -s tests/faults

# What the container and .ci/run install, each file with its SHA-256, for Python 3.11 and newer. PyTorch is left out: it
# has another file for each kind of machine.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

lock: .venv/.supply  ## Write packaging/*.lock anew, with the newest versions that are allowed
	$(LOCK) packaging/build.in -o packaging/build.lock
	$(LOCK) pyproject.toml --extra wyoming --extra metrics -o packaging/serve.lock
	$(LOCK) pyproject.toml --extra dev --extra search --override packaging/without-torch.in -o packaging/ci.lock

sbom: .venv/.supply  ## Write dist/sbom.json: what the container holds, in CycloneDX's format
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-file dist/sbom.json packaging/serve.lock

audit: .venv/.supply  ## Ask the Python Packaging Advisory Database about what is locked
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement packaging/serve.lock

oldest: .venv/.supply  ## Run all tests with the oldest versions of everything that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 pyproject.toml --extra test -o build/oldest.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/oldest
	$(BIN)/uv pip install --quiet --python build/oldest/bin/python --requirement build/oldest.txt
	$(BIN)/uv pip install --quiet --python build/oldest/bin/python --no-deps --editable .
	build/oldest/bin/python -m pytest tests

clean:  ## Remove the environment and everything built
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages, so that a second run installs nothing.
.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit("need Python 3.11 or newer, found %s: set PYTHON=..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.base: .venv/.python pyproject.toml
	$(PIP) install --editable .
	@touch $@

.venv/.test .venv/.dev .venv/.docs .venv/.train .venv/.fuzz .venv/.mutate .venv/.supply: .venv/.%: .venv/.python pyproject.toml
	$(PIP) install --editable '.[$*]'
	@touch $@
