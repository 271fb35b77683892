# make check         format, lint, imports, types, and the quick tests of rooms that changed: a minute
# make check-all     the same, with all quick tests (unit, property, contract, tidy): some minutes
# make test          everything, cheapest first; a lane whose parts are missing says what to install
# make test-faults   processes killed, paused and cut off under load: some minutes
# make bench         measure (see docs/requirements.toml for the goals)
# make docs          write what is generated

UV ?= uv
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
COVERED := $(BIN)/python -m coverage run -m pytest
# The browser's driver switches greenlets; following those elsewhere costs time and can hang.
COVERED_BROWSER := $(BIN)/python -m coverage run --concurrency=thread,greenlet -m pytest
# A test that hangs ends its process; without the limit the others would wait for it for ever.
PARALLEL := --numprocesses=auto --max-worker-restart=0
EXAMPLES := tests/unit tests/contract
# Thousands of drawn histories go down the same lines again and again: they are not measured.
LAWS := tests/tidy tests/property tests/simulation
QUICK := $(EXAMPLES) $(LAWS)
PARTS := embedded or kafka or timescaledb or browser or wheel
BENCHMARKS := first_run latency hooks page streams store end-to-end gateway gateway-faults pool

.PHONY: check check-all style types quick changed test lanes coverage bench docs build clean sync \
        test-quick test-embedded test-kafka test-timescaledb test-browser test-wheel test-faults

check: sync
	@$(MAKE) --no-print-directory style types changed

check-all: sync
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target style types quick

style:
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --cache-dir .import_linter_cache

types:
	$(BIN)/mypy

quick:
	$(PYTEST) -q $(PARALLEL) --dist=worksteal $(QUICK) -m "not ($(PARTS))"

# What is not on origin/main, or not committed; a change of the contracts is a change of every room.
changed:
	$(PYTEST) -q $(PARALLEL) --dist=worksteal $$($(BIN)/python -m tests.support.changed) -m "not ($(PARTS))"

test: sync
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory lanes
	@$(MAKE) --no-print-directory coverage

# The first two take every core; of the others each runs one test at a time, so two run beside each other.
BESIDE := $(MAKE) --no-print-directory --jobs=2 --output-sync=target
lanes: test-quick test-embedded
	@$(BESIDE) test-kafka test-timescaledb
	@$(BESIDE) test-browser test-wheel

test-quick:
	@echo "$$(date -u +%H:%M:%S) · unit, property, contract, simulation, tidy"
	$(PYTEST) -q $(PARALLEL) --dist=worksteal $(LAWS) -m "not ($(PARTS))"
	$(COVERED) -q $(PARALLEL) --dist=worksteal $(EXAMPLES) -m "not ($(PARTS))"

test-embedded:
	@echo "$$(date -u +%H:%M:%S) · embedded broker and database"
	$(COVERED) -q $(PARALLEL) --dist=loadfile tests --ignore=tests/faults -m "embedded and not (kafka or timescaledb or browser or wheel)"

test-kafka:
	@echo "$$(date -u +%H:%M:%S) · Apache Kafka"
	$(COVERED) -q tests --ignore=tests/faults -m "kafka and not browser"

# Minutes of kills under load; not among the lanes, since what they wait for depends on the machine.
test-faults: sync
	@echo "$$(date -u +%H:%M:%S) · kills, pauses and a full disk under load"
	$(PYTEST) -q tests/faults

test-timescaledb:
	@echo "$$(date -u +%H:%M:%S) · TimescaleDB"
	$(COVERED) -q tests -m "timescaledb and not browser"

test-browser:
	@echo "$$(date -u +%H:%M:%S) · every page in Chromium"
	$(COVERED_BROWSER) -q tests -m "browser"

test-wheel:
	@echo "$$(date -u +%H:%M:%S) · the built wheel, as the README says"
	$(PYTEST) -q tests -m "wheel"

# Of what all lanes ran, in the processes they started too.
coverage:
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='analytics/*' --fail-under=95
	@$(BIN)/coverage report --fail-under=85

bench:
	@$(UV) sync --quiet --frozen --all-groups --extra bench
	@for name in $(BENCHMARKS); do $(BIN)/mainstem bench $$name || exit 1; done

docs: sync
	$(BIN)/python -m apps.docs.generate

build: sync
	$(UV) build --quiet --wheel --out-dir dist

sync:
	@$(UV) sync --quiet --frozen --all-groups

clean:
	rm -rf artifacts build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache \
	       .hypothesis .import_linter_cache
