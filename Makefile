# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint types docs clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/mvdiff generate mvdiff/assets/demo.png --num-hypotheses 8 --seed 0 --output-dir out/demo --overwrite

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 PYTHONUTF8=1 $(BIN)/python -m pytest --numprocesses auto

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/python tools/check_types.py

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --jobs 2 -q -b html -d out/docs/.doctrees docs out/docs
	@echo "open out/docs/index.html"

clean:
	rm -rf $(VENV) out build docs/api *.egg-info
