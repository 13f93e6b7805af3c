# Everything one does with a checkout; `make help` lists it.
#
# Another interpreter (`make test PYTHON=python3.12`) gets an environment of its own.

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(shell $(PYTHON) -c \
	'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
BIN = $(VENV)/bin
PACKAGING = setup.py package.xml pyproject.toml constraints.txt

# The ROS 2 wheels find their resources in the environment. A ROS installation that happens to be
# sourced in this shell must not mix with them.
export AMENT_PREFIX_PATH = $(abspath $(VENV))
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export NO_MKDOCS_2_WARNING ?= 1
export FASTDDS_BUILTIN_TRANSPORTS ?= UDPv4
unexport LD_LIBRARY_PATH PYTHONPATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

EMPTY =
SPACE = $(EMPTY) $(EMPTY)
COMMA = ,
ASKED = $(filter demo test lint docs,$(MAKECMDGOALS))
EXTRAS = $(subst $(SPACE),$(COMMA),$(sort $(foreach target,$(ASKED),$(EXTRAS_$(target)))))
INSTALLED = $(VENV)/.installed-$(subst $(SPACE),-,$(ASKED))

.PHONY: help demo test lint docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## fly both systems over ROS 2; figures, bag and table in demo/
	@$(BIN)/trc demo $(ARGS)

test: $(INSTALLED) ## run the tests, in three processes (ARGS=--long: the longest too)
	@$(BIN)/trc warm-up bicycle_circles & $(BIN)/trc warm-up double_integrator && wait  # once, before all tests
	$(BIN)/python -m pytest --complete -n 3 --dist loadgroup --no-loadscope-reorder $(ARGS)

lint: $(INSTALLED) ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED) ## build the site of the documents into site/; a broken link is an error
	$(BIN)/mkdocs build --strict  # --quiet would hide the broken links from --strict

clean: ## remove environments, caches and everything the commands wrote
	rm -rf .venv .venv-* build dist install log demo site *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

EXTRAS_demo = ros demo
EXTRAS_test = ros demo train test
EXTRAS_lint = train lint
EXTRAS_docs = docs

# One installation for all targets that were asked for together. Python compiles what it imports;
# to compile every file of every package first takes most of a minute.
$(INSTALLED): $(PACKAGING) | $(VENV)/pyvenv.cfg
	@echo "installing trc[$(EXTRAS)] into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
		--constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@ $(ASKED:%=$(VENV)/.installed-%)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: $(PYTHON) is missing or older than Python 3.10; try PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot create environments; run: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
