# Every target works from a fresh checkout: those that need .venv create it first.
#   ARGS="..."      passes arguments on: make run ARGS="--data my_covers", make test ARGS="-m 'not slow'"
#   LINE=tfx-1.16   uses that dependency line instead of the one chosen for this machine
#   KFP_BIN=FOLDER  has the programs driver and launcher-v2, for make test-cluster
#   COVERS=2000     is how many covers make test-flink and make test-spark take
#   IMAGE=...       names the image of the tasks on Kubeflow Pipelines; BASE=... its base image;
#                   WITH_CUDA=1 adds what TensorFlow needs to compute on NVIDIA's GPUs;
#                   SMALL_TASKS=1 makes the one for the tasks that need no TensorFlow

.DEFAULT_GOAL := help
.PHONY: help setup run test test-kills check image compile submit kfp test-containers test-cluster test-flink test-spark test-machines lock clean
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

ARGS ?=
UV = $(or $(wildcard .venv/bin/uv),$(shell command -v uv))
PIP_COMPILE = "$(UV)" pip compile setup.py --extra object-store --extra serve --extra mlflow \
	--extra foundation --generate-hashes --quiet \
	--overrides requirements/overrides.txt --custom-compile-command "make lock" $(ARGS)
FOR_DEVELOPERS = --extra onnx --extra kubeflow --extra test --extra dev
IMAGE ?= covers:latest
COVERS ?= 2000
# The image of the configuration counts unless one is given: `file` is the default above.
GIVEN_IMAGE = $(if $(filter file,$(origin IMAGE)),,--image $(IMAGE))
BASE ?= debian:13-slim
WITH_CUDA ?=
SMALL_TASKS ?=
ENGINE ?= $(or $(shell command -v podman),$(shell command -v docker))
WITH_KFP = $(or $(wildcard .venv-kfp/bin/covers),.venv/bin/covers)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## create or update .venv; does nothing if it is up to date
	@requirements/bootstrap.sh

# Exit code 4 is an answer, not a broken run, so make succeeds. Make itself fails only with 2, hence
# the message.
run: setup ## run the pipeline locally, on a generated sample unless ARGS names data
	@code=0; .venv/bin/covers run $(ARGS) || code=$$?; \
	case $$code in \
	0) ;; \
	2) why="usage or configuration" ;; \
	3) why="data stopped at the gate" ;; \
	4) why="trained and evaluated, but not blessed" ;; \
	130) why="interrupted" ;; \
	*) why="unexpected" ;; \
	esac; \
	if [ $$code -ne 0 ]; then echo "covers run: exit code $$code ($$why)" >&2; fi; \
	[ $$code -eq 4 ] || exit $$code

test: setup ## run all tests, including the slow end-to-end ones
	@requirements/browser.sh install
	@.venv/bin/python -m pytest $(ARGS)

test-kills: setup ## kill a run 208 times at random moments of all stages, and compare the end
	@COVERS_KILLS=208 .venv/bin/python -m pytest tests/end_to_end/test_kills.py $(ARGS)

check: setup ## lint, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy pipeline components

image: ## build IMAGE, the image of the tasks on Kubeflow Pipelines
	@[ -n "$(ENGINE)" ] || { echo "make image needs podman or docker" >&2; exit 2; }
	$(ENGINE) build $(if $(SMALL_TASKS),--target small-tasks) --build-arg BASE=$(BASE) \
		--build-arg WITH_CUDA=$(WITH_CUDA) $(ARGS) --tag $(IMAGE) .

compile: setup ## compile the pipeline for Kubeflow Pipelines into build/pipeline.yaml
	@mkdir -p build
	.venv/bin/covers compile $(GIVEN_IMAGE) --output build/pipeline.yaml $(ARGS)

submit: ## run build/pipeline.yaml once: make submit ARGS="--host URL -p data=s3://..."
	$(WITH_KFP) submit build/pipeline.yaml $(ARGS)

kfp: setup ## create .venv-kfp, for covers submit where .venv has no kfp
	.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv-kfp
	.venv/bin/uv pip sync --quiet --python .venv-kfp/bin/python --require-hashes requirements/kfp.txt
	.venv/bin/uv pip install --quiet --python .venv-kfp/bin/python --no-deps \
		--no-build-isolation --editable .

test-containers: kfp ## build the image, and run the compiled pipeline in real containers
	IMAGE=$(IMAGE) BASE=$(BASE) ENGINE=$(ENGINE) tests/containers/run $(ARGS)

test-cluster: setup ## run the compiled pipeline on Kubeflow's own driver and launcher, in folder KFP_BIN
	@[ -n "$(KFP_BIN)" ] || { echo "make test-cluster needs KFP_BIN: see docs/kubeflow-live.md" >&2; exit 2; }
	.venv/bin/python -W ignore tests/cluster/live.py $(KFP_BIN)

test-flink: setup ## the Beam stages on a Flink cluster of this machine; COVERS=2000 covers
	@command -v java mvn >/dev/null || { echo "make test-flink needs Java 17 and Maven (apt-get install openjdk-17-jdk-headless maven)" >&2; exit 2; }
	mvn -B -q -f tests/flink/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/build/flink
	@COVERS_FLINK_COVERS=$(COVERS) .venv/bin/python -m pytest tests/flink $(ARGS)

test-spark: setup ## the Beam stages on a Spark cluster of this machine; COVERS=2000 covers
	@command -v java mvn >/dev/null || { echo "make test-spark needs Java 17 and Maven (apt-get install openjdk-17-jdk-headless maven)" >&2; exit 2; }
	mvn -B -q -f tests/spark/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/build/spark
	@COVERS_SPARK_COVERS=$(COVERS) .venv/bin/python -m pytest tests/spark $(ARGS)

test-machines: ## the commands of the README in clean systems; needs root; ARGS=trixie for one
	tests/machines/run $(ARGS)

lock: ## renew the locks after a change in setup.py or requirements/*.in; ARGS=--upgrade for all
	@[ -n "$(UV)" ] || { echo "make lock needs uv: make setup, or pip install uv" >&2; exit 2; }
	$(PIP_COMPILE) $(FOR_DEVELOPERS) requirements/tfx-1.16.in --output-file requirements/tfx-1.16.txt \
		--python-version 3.10 --python-platform x86_64-manylinux_2_28
	$(PIP_COMPILE) $(FOR_DEVELOPERS) requirements/tfx-1.21.in \
		--output-file requirements/tfx-1.21.txt --python-version 3.10 --universal
	$(PIP_COMPILE) --constraints requirements/tfx-1.21.txt requirements/tfx-1.21.in \
		--output-file requirements/tfx-1.21-image.txt --python-version 3.11 --universal
	"$(UV)" pip compile requirements/cuda.in --constraints requirements/tfx-1.21-image.txt \
		--generate-hashes --quiet --custom-compile-command "make lock" $(ARGS) \
		--output-file requirements/cuda.txt --python-version 3.11 --universal
	"$(UV)" pip compile requirements/small-tasks.in --constraints requirements/tfx-1.21.txt \
		--generate-hashes --quiet --custom-compile-command "make lock" $(ARGS) \
		--output-file requirements/small-tasks.txt --python-version 3.10 --universal
	"$(UV)" pip compile requirements/kfp.in --generate-hashes --quiet \
		--custom-compile-command "make lock" $(ARGS) --output-file requirements/kfp.txt \
		--python-version 3.10 --universal

clean: ## remove .venv, caches and build products; runs in pipeline_root are kept
	rm -rf .venv .venv-kfp build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
