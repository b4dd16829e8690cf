# The two commands of the README are `make talk` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export QUESTION QUICK

.PHONY: setup talk demo test test-fast lint docs bench clean

setup: $(VENV)/weights

# Some systems split ensurepip off Python: then pip is put into the environment from outside.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) || ( $(PYTHON) -m venv --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python install pip )
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@

$(VENV)/weights: $(VENV)/installed speechkit/catalog.py
	$(BIN)/speechkit models fetch base
	$(BIN)/speechkit models fetch en_US-joe-medium
	$(BIN)/speechkit models fetch spkrec-ecapa-voxceleb
	$(BIN)/speechkit models fetch segmentation-3.0
	$(BIN)/speechkit models fetch all-MiniLM-L6-v2
	@touch $@

# One spoken turn. QUESTION=my.m4a asks a recording; without it the voice asks a question itself.
talk: setup
	@mkdir -p out
ifdef QUESTION
	$(BIN)/speechkit talk "$$QUESTION" -o out/reply.wav
else
	$(BIN)/speechkit speak "Hello! Can you hear what I say?" -o out/question.wav
	$(BIN)/speechkit talk out/question.wav -o out/reply.wav
endif

demo: setup
	$(BIN)/speechkit demo

test: setup
	$(BIN)/speechkit models fetch tiny.en
	$(BIN)/python -m pytest

test-fast: $(VENV)/installed
	$(BIN)/python -m pytest -m "not real"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in out/docs; it runs each recipe that has changed. QUICK=1 runs them in their quick mode.
docs: setup
	$(BIN)/speechkit models fetch tiny.en
	@mkdir -p out/source && rm -f out/source/*.* && cp -p docs/*.md docs/*.rst out/source
	SPEECHKIT_OFFLINE=1 $(BIN)/python -m sphinx -W --keep-going -c docs -d out/doctrees out/source out/docs
	@echo "the site: out/docs/index.html"

bench: setup
	$(BIN)/python -m pip install --editable '.[dev,bench]'
	$(BIN)/python benchmarks/turn.py
	$(BIN)/python benchmarks/speaker.py
	$(BIN)/python benchmarks/asr.py
	$(BIN)/python benchmarks/words.py
	$(BIN)/python benchmarks/tts.py
	$(BIN)/python benchmarks/margin.py
	$(BIN)/python benchmarks/robustness.py
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/session.py

clean:
	rm -rf $(VENV) out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
