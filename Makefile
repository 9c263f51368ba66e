# Every target works from a fresh checkout: those that need .venv make it first.
#   ARGS="..."      is passed on: make run ARGS="--data my_covers", make test ARGS="-m 'not slow'"
#   LINE=tfx-1.16   takes that dependency line instead of the one chosen for this machine

.DEFAULT_GOAL := help
.PHONY: help setup run test check lock clean
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

ARGS ?=
UV = $(or $(wildcard .venv/bin/uv),$(shell command -v uv))
PIP_COMPILE = "$(UV)" pip compile setup.py --extra object-store --generate-hashes --quiet \
	--overrides requirements/overrides.txt --custom-compile-command "make lock" $(ARGS)
FOR_DEVELOPERS = --extra kubeflow --extra test --extra dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## make or update .venv; does nothing when it is up to date
	@requirements/bootstrap.sh

# 4 is an answer, not a broken run, and make knows no code but 2: it says so and succeeds.
run: setup ## run the pipeline locally, on a generated sample unless ARGS names data
	@code=0; .venv/bin/covers run $(ARGS) || code=$$?; \
	case $$code in \
	0) ;; \
	2) why="usage or configuration" ;; \
	3) why="data stopped at the gate" ;; \
	4) why="trained and evaluated, not blessed" ;; \
	130) why="interrupted" ;; \
	*) why="unexpected" ;; \
	esac; \
	if [ $$code -ne 0 ]; then echo "covers run: exit code $$code ($$why)" >&2; fi; \
	[ $$code -eq 4 ] || exit $$code

test: setup ## run all tests, the slow end-to-end ones included
	@.venv/bin/python -m pytest $(ARGS)

check: setup ## lint, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy pipeline components

lock: ## renew the locks after a change in setup.py or requirements/*.in; ARGS=--upgrade for all
	@[ -n "$(UV)" ] || { echo "make lock needs uv: make setup, or pip install uv" >&2; exit 2; }
	$(PIP_COMPILE) $(FOR_DEVELOPERS) requirements/tfx-1.16.in --output-file requirements/tfx-1.16.txt \
		--python-version 3.10 --python-platform x86_64-manylinux_2_28
	$(PIP_COMPILE) $(FOR_DEVELOPERS) requirements/tfx-1.21.in \
		--output-file requirements/tfx-1.21.txt --python-version 3.10 --universal
	$(PIP_COMPILE) --constraints requirements/tfx-1.21.txt requirements/tfx-1.21.in \
		--output-file requirements/tfx-1.21-image.txt --python-version 3.11 --universal

clean: ## remove .venv, caches and build products; runs in pipeline_root stay
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
