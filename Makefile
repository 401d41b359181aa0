# Every target sets up .venv by itself: only Python 3.11 or later and make are needed.

SHELL   := /bin/sh
VENV    := .venv
PY      := $(VENV)/bin/python
READY   := $(VENV)/ready
SITE    := _build/html
NB      ?=
OFFSETS ?= 1000 2000 3000
ARGS    ?=
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python
UNPIN   :=
FONTS   ?=

# A second run must equal the first: one thread, and nobody's own settings.
export OMP_NUM_THREADS         := 1
export JUPYTER_PREFER_ENV_PATH := 1
export IPYTHONDIR              := $(CURDIR)/$(VENV)/ipython
export MPLCONFIGDIR            := $(CURDIR)/$(VENV)/matplotlib
export PYDEVD_DISABLE_FILE_VALIDATION := 1

.PHONY: help book test test-package test-notebooks test-site look newest reseed faults mutate lab refresh bench clean
.DELETE_ON_ERROR:

help:
	@echo 'make book      build the site from the stored outputs, print the path of its first page'
	@echo 'make test      test the package, re-run and compare every notebook, build the site and check it'
	@echo '               (or one part of it: test-package, test-notebooks, test-site)'
	@echo 'make reseed    run the notebooks that draw with every seed moved: what they assert must hold (OFFSETS="7 8")'
	@echo 'make newest    test package and notebooks with the newest torch and NumPy, in .venv-newest'
	@echo 'make lab       open the notebooks in JupyterLab'
	@echo 'make refresh   run all notebooks and store their outputs (NB=book/intro.ipynb: only this one)'
	@echo 'make faults    plant faults in a copy and see that the tests find each (FAULT=word: only these)'
	@echo 'make mutate    mutate the package and see which mutants no test finds (ARGS="lossbook.loss.*": only these)'
	@echo 'make bench     measure speed and accuracy beside torch'
	@echo 'make clean     remove what was built (not .venv, .venv-newest, .venv-mutate)'

# The first Python that is new enough; PYTHON=/path/to/python chooses, and then no other is tried.
$(READY): requirements.txt pyproject.toml
	@if [ ! -x $(PY) ] || ! $(PY) -c '' 2>/dev/null; then \
	  for python in $(if $(PYTHON),"$(PYTHON)",$(PYTHONS)); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then echo 'lossbook needs Python 3.11 or later: none found (PYTHON=/path/to/python names one)' >&2; exit 1; fi; \
	  echo "Creating $(VENV) with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV) || { echo 'Could not create $(VENV): on Debian, apt install python3-venv' >&2; exit 1; }; \
	fi
	@echo 'Installing requirements.txt into $(VENV) (minutes the first time)'
	@sed -E 's/^($(UNPIN))==[^ ;]+/\1/' requirements.txt >$(VENV)/requirements.txt
	@$(PY) -m pip install -qq --disable-pip-version-check --upgrade -r $(VENV)/requirements.txt
	@echo 'Installing lossbook (editable)'
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(PY) -m pip check -q --disable-pip-version-check || $(PY) -m pip check --disable-pip-version-check
	@$(PY) -c 'import matplotlib.font_manager'      # builds its font cache, which else speaks up in a notebook
	@touch $@

book: $(READY)
	@echo 'Building the site'
	@rm -rf _build
	@$(VENV)/bin/jupyter-book build . -q -W --keep-going -n >/dev/null
	@echo 'The first page: $(CURDIR)/$(SITE)/index.html'

# Phases, one after the other; the first that fails ends the run. The site is built beside the second, whose
# kernels leave a processor idle now and then.
test: $(READY)
	@$(MAKE) --no-print-directory test-package
	@$(MAKE) --no-print-directory -j 2 test-notebooks book
	@$(MAKE) --no-print-directory reseed OFFSETS=1000
	@$(MAKE) --no-print-directory look

test-package: $(READY)
	@echo; echo '== 1/4  the package, the tools and the guards'
	@$(PY) -m ruff check -q
	@$(PY) -m pytest -q --doctest-modules lossbook tests tools --ignore=tests/test_site.py \
	  -n 2 --dist worksteal $(ARGS)

test-notebooks: $(READY)
	@echo; echo '== 2/4  every notebook, run again and compared output by output'
	@$(PY) -m pytest -q $(or $(NB),book) --nbval --nbval-current-env --nbval-cell-timeout=120 \
	  --nbval-sanitize-with=tests/nbval_sanitize.cfg -n 2 --dist loadfile $(ARGS)

test-site: book
	@$(MAKE) --no-print-directory look

# With CI=true a missing browser is an error, elsewhere its checks are skipped with a line that says so.
# FONTS names a set of tools/fonts.py to draw the pages with, in place of this machine's own fonts.
look: $(READY)
	@echo; echo '== 4/4  the site, page by page in a browser'
	@$(if $(FONTS),fonts=$$($(PY) -m tools.fonts $(FONTS)) && export FONTCONFIG_FILE="$$fonts" LOSSBOOK_FONTS=$(FONTS) &&) \
	  LOSSBOOK_SITE=$(SITE) $(PY) -m pytest -q tests/test_site.py -n 2 $(ARGS)

# The newest torch and NumPy that pip finds, on the newest Python, in a folder of its own: .venv stays as it
# is. Both phases run, whatever the first one says.
newest:
	@rm -f .venv-newest/ready
	@$(MAKE) --no-print-directory -k VENV=.venv-newest UNPIN='numpy|torch' \
	  PYTHONS='python3.14 python3.13 python3.12 python3.11 python3 python' test-package test-notebooks

lab: $(READY)
	@$(VENV)/bin/jupyter-lab --notebook-dir=book

refresh: $(READY)
	@$(PY) -m tools.refresh $(NB)

reseed: $(READY)
	@echo; echo '== 3/4  what is claimed of drawn data, with every seed moved'
	@$(PY) -m tools.reseed $(NB) $(OFFSETS:%=--offset %)

faults: $(READY)
	@$(PY) -m tools.faults $(FAULT)

# mutmut reads what is in .venv and lies beside it: nothing else needs it.
.venv-mutate/bin/mutmut: $(READY)
	@echo 'Installing mutmut into .venv-mutate'
	@$(PY) -m venv --clear .venv-mutate
	@site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  $(PY) -c "$$site" >"$$(.venv-mutate/bin/python -c "$$site")/beside.pth"
	@.venv-mutate/bin/python -m pip install -qq --disable-pip-version-check -c requirements.txt mutmut==3.8.1

mutate: .venv-mutate/bin/mutmut
	@.venv-mutate/bin/mutmut run $(ARGS)
	@.venv-mutate/bin/mutmut results

bench: $(READY)
	@$(PY) -m benchmarks $(ARGS)

clean:
	rm -rf _build build mutants *.egg-info .pytest_cache .hypothesis .coverage
	find . -path './.venv*' -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
