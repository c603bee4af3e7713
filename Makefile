# Two commands need nothing but Python 3.11 and make: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Of the reproductions: the images, where their runs go, and how many are trained at a time.
DATA ?= --dataset=cifar100
RUNS ?= runs
WORKERS ?= 2

.PHONY: quickstart reproduce-small reproduce-long initial-weights asymmetry optimizers depth \
	test test-runs test-backends test-jax test-torch test-oldest test-slow test-ray \
	conformance faults lint docs clean

quickstart: $(VENV)/installed
	$(BIN)/python -m train.run --width=0.25 --epochs=20 --run_dir=runs/quickstart

# The experiments of a folder of flagfiles, and what they come to. Interrupted, it goes on; a failing run
# keeps no other from being run.
define reproduce
	@failed=0; \
	for experiment in $(notdir $(basename $(wildcard train/flagfiles/$(1)/*.flags))); do \
		printf '\n%s\n' $$experiment; \
		$(BIN)/python -m train.sweep --flagfile=train/flagfiles/$(1)/$$experiment.flags $(DATA) \
			--workers=$(WORKERS) --sweep_dir=$(RUNS)/$(1)/$$experiment || failed=$$?; \
		[ $$failed -le 1 ] || exit $$failed; \
	done; \
	$(BIN)/python -m analysis.run --runs=$(RUNS)/$(1) --out=$(RUNS)/$(1)-report && exit $$failed
endef

# About four hours on two cores.
reproduce-small: $(VENV)/installed
	$(call reproduce,small)

# About five hours on two cores.
reproduce-long: $(VENV)/installed
	$(call reproduce,long)

# A study, of both orders: its folder, its flagfile, a flag and its values. The best setting of each, with
# three seeds, are compared.
define study
	@failed=0; \
	for value in $(4); do \
		for order in swap convention; do \
			printf '\n%s, %s\n' $$value $$order; \
			$(BIN)/python -m train.sweep --flagfile=train/flagfiles/$(2).flags $(DATA) \
				--$(3)=$$value --order=$$order --workers=$(WORKERS) \
				--sweep_dir=$(RUNS)/$(1)/$$value/$$order || failed=$$?; \
			[ $$failed -le 1 ] || exit $$failed; \
		done; \
	done; \
	$(BIN)/python -m analysis.compare '$(RUNS)/$(1)/*/*/final' --by=$(3),order \
		--out=$(RUNS)/$(1)-report && exit $$failed
endef

# About three hours on two cores.
initial-weights: $(VENV)/installed
	$(call study,initial_weights,studies/search,kernel_initializer,\
		fan_in_uniform glorot_uniform he_normal lecun_normal small_normal)

# An hour and a half on two cores: activations that are asymmetric from the start.
asymmetry: $(VENV)/installed
	$(call study,asymmetry,small/vgg16_11_tanh_swap,activation,tanh shifted_tanh penalized_tanh)

# Over an hour on two cores: the penalty of SGD against AdamW's decoupled weight decay.
optimizers: $(VENV)/installed
	$(call study,optimizers,studies/$$value,optimizer,sgd adamw)

# Over two hours on two cores.
depth: $(VENV)/installed
	$(call study,depth,studies/search,model,vgg16_8 vgg16_11 vgg16_14 vgg16)

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not ray and not runs"

# Runs and sweeps as commands, ended, killed and taken up again, and the examples and pages.
test-runs: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal -m "runs and not slow"

# TORCH names a build of PyTorch, such as one for the CPU alone.
TORCH ?= torch
BACKEND_TESTS := activations backends callbacks channel_axes conformance data folding gradients \
	histograms layers keras_internals masks measuring models regularizers reorder sites statistics

test-backends: test-jax test-torch

test-jax: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[jax]"
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" \
		$(BACKEND_TESTS:%=tests/test_%.py) tests/test_distribution.py tests/test_divergence.py \
		tests/test_jax_*.py

test-torch: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[torch]" "$(TORCH)"
	KERAS_BACKEND=torch $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" \
		$(BACKEND_TESTS:%=tests/test_%.py) tests/test_torch_twin.py

# The library on the oldest Keras that setup.cfg accepts, which warns of its own way to load models.
OLDEST := $(VENV)-oldest

test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]" \
		"keras==3.10.*" "tensorflow==2.18.*"
	$(OLDEST)/bin/python -m pytest -n auto --dist worksteal -m "not slow" \
		-W 'ignore:The structure of `inputs`:UserWarning' $(BACKEND_TESTS:%=tests/test_%.py)

# Models by checks, and what is refused; KERAS_BACKEND is any of the three.
conformance: $(VENV)/installed
	$(BIN)/python -m pytest -q -n auto --dist worksteal -p tests.conformance_table \
		tests/test_conformance.py

# Runs of which a file operation fails, or that are killed at it: an hour on two cores.
faults: $(VENV)/installed
	$(BIN)/python tests/faults.py

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

test-ray: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[ray]"
	$(BIN)/python -m pytest -m ray

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages, in build/docs; a warning is an error.
docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf $(VENV) $(OLDEST) build dist *.egg-info

$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "$(PYTHON) is older than Python 3.11: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Making an environment in $(VENV): 3.0 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train,test,lint]"
	@touch $@
