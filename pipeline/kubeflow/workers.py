"""Several workers of a training on Kubeflow Pipelines share the Trainer's pod."""

from __future__ import annotations

from components.contracts.nodes import TRAINER
from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.quantities import quantity


def check_workers(trainer: TrainerConfig, kubeflow: KubeflowConfig) -> None:
    """Refuses workers for which the Trainer's pod has no place.

    Raises:
        ConfigError: says what to change.
    """
    if trainer.worker_addresses:
        raise ConfigError(
            "Expected no trainer.worker_addresses in a package for Kubeflow Pipelines, as what the "
            "Trainer reads is on the disk of its own pod. Received: "
            f"{', '.join(trainer.worker_addresses)}. Leave them out: all workers are then in that "
            "pod."
        )
    if trainer.workers == 1:
        return
    pod = kubeflow.task(TRAINER)
    if pod.accelerator:
        raise ConfigError(
            f"Expected trainer.workers=1 with kubeflow.tasks.{TRAINER}.accelerator, as one process "
            f"trains on all GPUs of its pod. Received: workers={trainer.workers}."
        )
    given = pod.cpu_limit or pod.cpu
    if given is None or quantity(given) < trainer.workers:
        raise ConfigError(
            f"Expected kubeflow.tasks.{TRAINER}.cpu of at least {trainer.workers}, one for each of "
            f"trainer.workers, which share its pod. Received: {given or 'none'}."
        )


def check_same_workers(compiled: TrainerConfig, wanted: TrainerConfig) -> None:
    """Refuses other workers than the package was compiled for.

    Raises:
        ConfigError: says what to do.
    """
    if (wanted.workers, wanted.worker_addresses) != (compiled.workers, compiled.worker_addresses):
        raise ConfigError(
            f"Expected the {compiled.workers} workers that the package was compiled for, and its "
            f"pods have processors for. Received: trainer.workers={wanted.workers}. Compile it "
            "again with that."
        )
