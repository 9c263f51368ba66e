"""Workers of a training on Kubeflow share the Trainer's pod, which must have room for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.support.errors import ConfigError
from components.trainer.config import TrainerConfig
from pipeline.config import load_config
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.package import CompiledPackage, parameter_values
from pipeline.kubeflow.workers import check_workers

_TWO = TrainerConfig(workers=2)
_ADDRESSES = ("gpu-1.example:2222", "gpu-2.example:2222")


def in_trainer(**options: Any) -> KubeflowConfig:
    return KubeflowConfig.from_fields({"tasks": {"Trainer": options}})


@pytest.mark.parametrize(
    ("trainer", "kubeflow", "expected"),
    [
        (_TWO, KubeflowConfig(), r"tasks\.Trainer\.cpu of at least 2.* Received: none"),
        (_TWO, in_trainer(cpu="1500m"), r"of at least 2.* Received: 1500m"),
        (_TWO, in_trainer(cpu="1", cpu_limit="1"), r"of at least 2.* Received: 1\."),
        (_TWO, in_trainer(cpu="4", accelerator={}), r"trainer\.workers=1 with .*accelerator"),
        (
            TrainerConfig(workers=2, worker_addresses=_ADDRESSES),
            in_trainer(cpu="4"),
            r"no trainer\.worker_addresses .* Received: gpu-1\.example:2222",
        ),
    ],
)
def test_workers_without_room_are_refused(
    trainer: TrainerConfig, kubeflow: KubeflowConfig, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        check_workers(trainer, kubeflow)


def test_one_worker_needs_nothing_and_two_need_two_processors() -> None:
    check_workers(TrainerConfig(), KubeflowConfig())
    check_workers(_TWO, in_trainer(cpu="500m", cpu_limit="2"))
    check_workers(_TWO, in_trainer(cpu="2"))


def test_a_package_passes_them_on_and_no_run_changes_them(
    tiny_config: Path, tmp_path: Path
) -> None:
    overrides = ["trainer.workers=2", "kubeflow.tasks={Trainer: {cpu: 2}}"]
    compile_pipeline(load_config(tiny_config, overrides)).write(tmp_path / "pipeline.yaml")
    package = CompiledPackage.from_file(tmp_path / "pipeline.yaml")
    training = package.parameters["training"]["defaultValue"]
    assert json.loads(training)["config"]["workers"] == 2
    given = ["data=s3://bucket/covers", "push_destination=s3://bucket/models"]
    parameter_values(package, given, ["trainer.workers=2", "trainer.epochs=3"])
    with pytest.raises(ConfigError, match="the 2 workers that the package was compiled for"):
        parameter_values(package, given, ["trainer.workers=4"])
