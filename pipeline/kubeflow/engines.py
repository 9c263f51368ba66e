"""What an engine needs when tasks on Kubeflow Pipelines hand it their Beam stages."""

from __future__ import annotations

from pathlib import Path

from components.contracts.nodes import ON_BEAM
from components.support.errors import ConfigError
from pipeline.engine.config import EngineConfig
from pipeline.kubeflow.config import KubeflowConfig

_HERE = ("localhost", "127.", "[::1]")


def shared_folder(engine: EngineConfig) -> str:
    """Returns the folder that tasks on Beam and the engine's workers share; empty for none."""
    return "" if engine.is_local else engine.shared_folder or ""


def check_engine(engine: EngineConfig, kubeflow: KubeflowConfig, target: str) -> None:
    """Raises unless the tasks and the workers of the engine can reach each other.

    Raises:
        ConfigError: names the option, and what to do.
    """
    if engine.is_local:
        return
    if target == "vertex":
        raise ConfigError(
            f"Expected engine.name=local for vertex. Received: {engine.name}, whose workers share "
            "a volume with the tasks, and Vertex AI mounts none."
        )
    for option, address in engine.endpoints.items():
        if address.startswith(_HERE):
            raise ConfigError(
                f"Expected {option} to be the address of a service on the cluster. Received: "
                f"{address}, which is the task's own pod."
            )
    if engine.shared_folder is None:
        raise ConfigError(
            "Expected engine.shared_folder, a folder on a volume that the tasks and all workers "
            f"of '{engine.name}' mount. Received: none. Mount a claim that many pods may write to "
            "(kubeflow.all_tasks.volumes), and name a folder on it."
        )
    for node in ON_BEAM:
        paths = [mount.path for mount in kubeflow.task(node).volumes]
        if not any(Path(engine.shared_folder).is_relative_to(path) for path in paths):
            raise ConfigError(
                f"Expected engine.shared_folder to be below a volume of {node}. Received: "
                f"{engine.shared_folder}; volumes at {', '.join(paths) or 'no path'}. Add one to "
                f"kubeflow.tasks.{node}.volumes or kubeflow.all_tasks.volumes."
            )
