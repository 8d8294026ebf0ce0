PYTHON ?= python3
READY := .venv/.ready
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH"
MODULES := app/node_modules/.package-lock.json

.PHONY: help env demo test test-all app site page-test screenshots proof lint repro study readme bench latency faults fuzz audit clean
help:           ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

# $(call environment,DIR): a new virtual environment with uv, of the version and hashes in requirements.lock. pip installs
# only that; uv installs the rest in a tenth of the time.
define environment
	$(PYTHON) -m venv $(1)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(1)/uv.txt
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)/uv.txt
endef
# Compiled at once: where Python may not write bytecode, every import would compile it again.
install = $(1)/bin/uv pip install --python $(1)/bin/python --compile-bytecode

# PIP_FLAGS names other indexes, whose builds have other hashes: then versions alone are held. The newest of all indexes
# is taken, as pip does: 2.15.0+cpu before 2.15.0.
env: $(READY)   ## make .venv with the tested versions
$(READY): requirements.txt requirements.lock
	$(call environment,.venv)
ifdef PIP_FLAGS
	sed -e '/--hash=/d' -e 's/ *\\$$//' requirements.lock > .venv/versions.txt
	$(call install,.venv) --index-strategy unsafe-best-match $(PIP_FLAGS) -r requirements.txt -c .venv/versions.txt
else
	$(call install,.venv) --require-hashes -r requirements.lock
endif
	touch $@

demo: $(READY)  ## the whole pipeline on synthetic chests: no account, no download, minutes; V=1 shows all it says
	@$(RUN) python -m demo $(if $(filter-out 0,$(V)),--all)

# A test has at most one marker, and by it its target (tests/test_house.py). Two workers: each trains on one thread.
SIDE_BY_SIDE := --numprocesses=2 --dist=worksteal
test: $(READY)  ## what to run after a change: minutes
	$(RUN) python -m pytest $(SIDE_BY_SIDE) -m "not slow and not page and not ci"

test-all: test  ## all tests but those of the page and of CI: kills, S3, several processes, own films, the study, the wheel
	$(RUN) python -m pytest $(SIDE_BY_SIDE) -m slow

PORT ?= 8000
app: .screen/.ready $(MODULES) ## build the page that screens in a browser, and serve it on this machine: needs npm
	PYTHONPATH=src .screen/bin/python -m app.build
	.screen/bin/python -m app.serve $(PORT)

site: $(READY) $(MODULES) ## the static site in .site: landing page, study, screener, model card: needs npm
	$(RUN) python -m docs.site

page-test: $(READY) $(MODULES) ## the page and the site in Chromium: needs npm, chromium and chromedriver
	$(RUN) python -m pytest -m page

screenshots: $(READY) $(MODULES) ## take again the pictures and printed lines of README and docs/, on the demo: needs what page-test needs, minutes
	$(RUN) PYTHONPATH=.:src python tests/screenshots.py

# What screening needs, which is far less than what training does.
.screen/.ready: pyproject.toml requirements.lock
	$(call environment,.screen)
	$(call install,.screen) $(PIP_FLAGS) .
	touch $@

$(MODULES): app/package-lock.json
	npm ci --prefix app --ignore-scripts --no-audit --no-fund
	touch $@

proof: $(READY) ## that CI re-runs what a change reaches, and no more: pull requests on phantoms, minutes
	$(RUN) CXR_CI_REPORT=reports/ci.md python -m pytest -m ci

lint: $(READY)  ## format check, lint, types, which room may import which
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) PYTHONPATH=src lint-imports

repro: $(READY) ## the real pipeline (Kaggle, or CXR_ARCHIVE=/path/to.zip)
	$(RUN) dvc repro

study: $(READY) ## sizes, teachers, labels, augmentation and checks on top of it: hours on two idle cores
	cd study && $(RUN) dvc repro

readme: $(READY) ## fill README.md and docs/ from docs/places/ and the committed results, and draw the rooms: seconds, no data
	$(RUN) python -m docs

# reports/speed.md quotes what was measured by these, and by hand.
bench: $(READY) ## speed, as ratios within one run, to bench.md: make bench ARCHIVE=/path/to.zip [ORIGINALS=/path/to.zip], an hour
	$(RUN) bash -euo pipefail -c '{ \
	  for what in preprocess epoch pipeline growth; do python -m benchmarks.$$what $(ARCHIVE); done; \
	  for more in $(ORIGINALS); do python -m benchmarks.preprocess $$more; python -m benchmarks.epoch $$more; done; \
	} | tee bench.md'

latency: $(READY) ## size and speed of the released student: make latency ORIGINALS=/path/to.zip, a minute
	$(RUN) python -m benchmarks.latency $(ORIGINALS)

faults: $(READY) ## break every stage from outside, on phantoms, and see that nothing is lost: Linux, half an hour
	$(RUN) bash -euo pipefail -c \
	  'unshare --map-root-user --mount python -m benchmarks.faults | tee .report.part; \
	  mv .report.part reports/faults.md'

audit:          ## known vulnerabilities of the pinned versions (asks PyPI)
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install --quiet pip-audit==2.10.1
	.audit/bin/pip-audit --require-hashes --disable-pip -r requirements.lock

MINUTES ?= 10
fuzz: $(READY)  ## fuzz archive, decoder, films and parameters for MINUTES each
	$(RUN) bash -euo pipefail -c 'python -m benchmarks.fuzz $(MINUTES) | tee .report.part; \
	  mv .report.part reports/fuzz.md'

clean:          ## remove what demo and the tools left
	rm -rf .demo .audit .screen .site app/dist app/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
