# Every target works on a machine with Python ≥ 3.11 and nothing else installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo test check bench docs clean

# Installed anew when what is asked for changes; the constraints keep two installs of one commit alike.
$(STAMP): pyproject.toml constraints.txt
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,afm,ocr]"
else
	uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev,afm,ocr]"
endif
	touch $(STAMP)

# 8 px: the examples hold hardly anything smaller, and Fresnel fringes break up into smaller pieces.
demo: $(STAMP)
	$(BIN)/epistem analyze examples/images --samples examples/samples.csv --set min_diameter_px=8 --out demo
	@echo "Open demo/report.html"

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --quiet

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks.match_speed
	$(BIN)/python -m benchmarks.region_speed
	$(BIN)/python -m benchmarks.large_image
	$(BIN)/python -m benchmarks.help_speed

docs: $(STAMP)
	$(BIN)/python scripts/tables.py

clean:
	rm -rf $(VENV) demo
