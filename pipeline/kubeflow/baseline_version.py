"""Adds the task that says which pushed version is the baseline, so that comparing can be cached."""

from __future__ import annotations

from components.contracts.nodes import BASELINE_MODEL_NODE, CANDIDATE, EXPECTED_VERSION
from pipeline.kubeflow.graph import STRING, Spec, add_task, component_of, depend, parameter_of
from pipeline.kubeflow.parameters import PUSH_DESTINATION
from pipeline.kubeflow.small_tasks import BASELINE_VERSION_TASK


def add_baseline_version(spec: Spec, image: str) -> None:
    """Lets a task look up the version in every run, and makes it a parameter of BaselineModel.

    While the version is the same, BaselineModel and what compares with its model come from the
    cache. It takes the place of BaselineModel's driver.
    """
    tasks = spec["root"]["dag"]["tasks"]
    reader = tasks[BASELINE_MODEL_NODE]
    candidate = reader["inputs"]["artifacts"][CANDIDATE]
    definitions = component_of(spec, BASELINE_MODEL_NODE)["inputDefinitions"]
    add_task(
        spec,
        BASELINE_VERSION_TASK,
        image,
        args=[
            "baseline_version",
            f"{{{{$.inputs.artifacts['{CANDIDATE}'].path}}}}",
            f"{{{{$.inputs.parameters['{PUSH_DESTINATION}']}}}}",
            f"{{{{$.outputs.parameters['{EXPECTED_VERSION}'].output_file}}}}",
        ],
        parameters={PUSH_DESTINATION: reader["inputs"]["parameters"][PUSH_DESTINATION]},
        artifacts={CANDIDATE: candidate},
        artifact_types={CANDIDATE: definitions["artifacts"][CANDIDATE]},
        outputs={EXPECTED_VERSION: STRING},
    )
    depend(tasks[BASELINE_VERSION_TASK], candidate["taskOutputArtifact"]["producerTask"])
    definitions["parameters"][EXPECTED_VERSION] = dict(STRING)
    reader["inputs"]["parameters"][EXPECTED_VERSION] = parameter_of(
        BASELINE_VERSION_TASK, EXPECTED_VERSION
    )
    depend(reader, BASELINE_VERSION_TASK)
