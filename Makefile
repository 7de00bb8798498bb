.DEFAULT_GOAL := help
.PHONY: help setup demo up test check faults bench

help: ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## Install what is needed to run
	@scripts/setup run

demo: setup ## See code run in response to events
	@.venv/bin/python examples/demo.py

up: setup ## Start the platform
	@.venv/bin/sabayon up

check: ## Lint, format, types, layers
	@scripts/setup dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/pytest tests/unit/test_layers.py

test: check ## Run all checks and tests
	@.venv/bin/pytest

faults: ## Kill the platform again and again, and look whether anything accepted is lost
	@scripts/setup dev
	@FAULTS_SCALE=$${FAULTS_SCALE:-1} .venv/bin/pytest -s tests/faults/test_accepted.py tests/faults/test_accepted_by_a_cluster.py tests/faults/test_rolling_restart.py tests/faults/test_cluster_timers.py

bench: ## Measure, side by side with what else one would use
	@scripts/setup bench
	@.venv/bin/python -m bench
