"""The options of `engine`: what runs the Beam stages, this process or a cluster.

The stages are CoverExampleGen, StatisticsGen, BatchInference and Evaluator. Their results do not
depend on the engine; docs/scale.md says what was executed where.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from components.support.compat import LOCAL_BEAM_ARGS
from components.support.credentials import without_credentials
from components.support.engine_jobs import FLINK_REST
from components.support.options import Options
from pipeline.kubeflow.kubernetes_values import Image, MountPath

_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
# Workers have the code already; without the option, TFX packs its sources for each Beam stage.
_NO_PACKAGE = "--sdk_container_image=none"

# Between two stages of a job, workers are kept: they import TensorFlow, which takes its time.
_MILLISECONDS_KEPT = 600_000


def _check_address(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if not found or not 0 < int(found["port"]) <= _LAST_PORT:
        raise ValueError(f"Expected HOST:PORT, such as localhost:8099. Received: {address}")
    return address


def _check_bucket(location: str) -> str:
    without_credentials(location)
    if not re.fullmatch(r"gs://[^/]+(/.*)?", location):
        raise ValueError(f"Expected a folder in gs://. Received: {location}")
    return location


Address = Annotated[str, AfterValidator(_check_address)]
Bucket = Annotated[str, AfterValidator(_check_bucket)]


def _check_no_runner(arguments: tuple[str, ...]) -> tuple[str, ...]:
    for argument in arguments:
        if argument.partition("=")[0] == "--runner":
            raise ValueError(
                f"Expected the engine to choose Beam's runner. Received: {argument}. Leave it "
                "out, and set engine to local, flink, spark or dataflow"
            )
    return arguments


BeamArguments = Annotated[tuple[str, ...], AfterValidator(_check_no_runner)]


class _Workers(Options):
    """Where the processes that run this project's code are; exactly one of the two.

    Attributes:
        worker_pool: address at which each worker machine finds a Beam worker pool.
        image: image of the processes, for which each worker machine starts containers.
    """

    worker_pool: Address | None = None
    image: Image | None = None

    @model_validator(mode="after")
    def _is_one(self) -> _Workers:
        given = [name for name in ("worker_pool", "image") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                "Expected one of worker_pool (HOST:PORT of Beam's worker pool, as each machine of "
                "the cluster reaches it) and image (for which each machine starts containers). "
                f"Received: {' and '.join(given) or 'neither'}"
            )
        return self

    def environment_args(self) -> tuple[str, ...]:
        """Returns Beam's arguments that say where the project's code runs."""
        kind, place, package = "EXTERNAL", self.worker_pool, _NO_PACKAGE
        if self.image:
            kind, place, package = "DOCKER", self.image, f"--sdk_container_image={self.image}"
        return (
            f"--environment_type={kind}",
            f"--environment_config={place}",
            f"--environment_cache_millis={_MILLISECONDS_KEPT}",
            package,
        )


class FlinkConfig(_Workers):
    """A cluster of Apache Flink.

    Attributes:
        job_server: address of Beam's job server for Flink, which hands jobs to the cluster.
        rest: address of the cluster's REST API. Beside a job server, an interrupted run cancels
            its job there, which the job server does not do; without one, jobs go there, which
            needs `job_server_jar`.
        job_server_jar: file of Beam's job server for Flink, which becomes part of each job;
            relative to the YAML file.
        parallelism: parts in which each stage runs at the same time, at most the task slots.
    """

    SECTION = "engine.flink"

    job_server: Address | None = None
    rest: Address | None = None
    job_server_jar: Path | str | None = None
    parallelism: int = Field(default=1, ge=1, le=32_768)

    @model_validator(mode="after")
    def _is_reached(self) -> FlinkConfig:
        if not self.job_server and not self.rest:
            raise ValueError(
                "Expected job_server (HOST:PORT of Beam's job server for Flink), or rest "
                "(HOST:PORT of the cluster's REST API) and job_server_jar. Received: neither"
            )
        if bool(self.job_server) == bool(self.job_server_jar):
            raise ValueError(
                "Expected job_server_jar, the file of Beam's job server for Flink, where there is "
                "no job_server, and only there. "
                f"Received: job_server_jar {self.job_server_jar or 'empty'}, "
                f"job_server {self.job_server or 'empty'}"
            )
        return self

    @property
    def endpoints(self) -> dict[str, str]:
        """What a run on this machine has to reach: option -> address."""
        return _given(self, "job_server", "rest")

    def beam_args(self) -> tuple[str, ...]:
        """Returns the arguments of a Beam pipeline."""
        if self.job_server:
            runner: tuple[str, ...] = (
                "--runner=PortableRunner",
                f"--job_endpoint={self.job_server}",
                f"--{FLINK_REST}={self.rest or ''}",
            )
        else:
            runner = (
                "--runner=FlinkRunner",
                f"--flink_master={self.rest}",
                "--flink_submit_uber_jar",
                f"--flink_job_server_jar={self.job_server_jar}",
            )
        return (*runner, f"--parallelism={self.parallelism}", *self.environment_args())


class SparkConfig(_Workers):
    """A cluster of Apache Spark.

    Attributes:
        job_server: address of Beam's job server for Spark, which hands jobs to the cluster.
    """

    SECTION = "engine.spark"

    job_server: Address

    @property
    def endpoints(self) -> dict[str, str]:
        """What a run on this machine has to reach: option -> address."""
        return _given(self, "job_server")

    def beam_args(self) -> tuple[str, ...]:
        """Returns the arguments of a Beam pipeline."""
        return (
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_server}",
            *self.environment_args(),
        )


class DataflowConfig(Options):
    """Google Cloud Dataflow.

    Attributes:
        project: the project that pays.
        region: where the workers are.
        temp: folder in gs:// for what a job stages and forgets.
        image: image of the workers, with this project and its packages.
        max_workers: most machines; 0 leaves it to Dataflow.
        service_account: who the workers are; empty for the project's default.
    """

    SECTION = "engine.dataflow"

    project: str = Field(pattern=r"^[a-z][a-z0-9.:-]{4,61}[a-z0-9]$")
    region: str = Field(pattern=r"^[a-z]+-[a-z]+[0-9]+$")
    temp: Bucket
    image: Image
    max_workers: int = Field(default=0, ge=0)
    service_account: str = Field(default="", pattern=r"^([^@\s]+@[^@\s]+)?$")

    endpoints: ClassVar[dict[str, str]] = {}

    def beam_args(self) -> tuple[str, ...]:
        """Returns the arguments of a Beam pipeline."""
        most = (f"--max_num_workers={self.max_workers}",) if self.max_workers else ()
        account = (
            (f"--service_account_email={self.service_account}",) if self.service_account else ()
        )
        return (
            "--runner=DataflowRunner",
            f"--project={self.project}",
            f"--region={self.region}",
            f"--temp_location={self.temp}",
            f"--sdk_container_image={self.image}",
            "--experiments=use_runner_v2",
            *most,
            *account,
        )


class EngineConfig(Options):
    """What runs the Beam stages; a name alone, such as `local`, stands for `{name: local}`.

    Attributes:
        name: the engine of this run.
        flink: see `FlinkConfig`.
        spark: see `SparkConfig`.
        dataflow: see `DataflowConfig`.
        shared_folder: on Kubeflow, a folder on a volume that the tasks and all workers mount
            at this path: what a stage reads and writes is there while it runs. On this machine
            that is the pipeline root.
    """

    SECTION = "engine"

    name: Literal["local", "flink", "spark", "dataflow"] = "local"
    flink: FlinkConfig | None = None
    spark: SparkConfig | None = None
    dataflow: DataflowConfig | None = None
    shared_folder: MountPath | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if not isinstance(given, Mapping | cls):
            raise ValueError("Expected the name of an engine, or a mapping with its options")
        return given

    @model_validator(mode="after")
    def _is_described(self) -> EngineConfig:
        if self.name != "local" and self._chosen is None:
            wanted = {
                "flink": "job_server, parallelism and worker_pool, for instance",
                "spark": "job_server and worker_pool, for instance",
                "dataflow": "project, region, temp and image",
            }[self.name]
            raise ValueError(
                f"Expected engine.{self.name} to say where that engine is ({wanted}). "
                "Received: nothing. docs/scale.md has an example"
            )
        return self

    @property
    def _chosen(self) -> FlinkConfig | SparkConfig | DataflowConfig | None:
        return None if self.name == "local" else getattr(self, self.name)

    @property
    def is_local(self) -> bool:
        """Whether the stages run in this process."""
        return self.name == "local"

    @property
    def endpoints(self) -> dict[str, str]:
        """What a run on this machine has to reach: option -> address."""
        found = self._chosen.endpoints if self._chosen else {}
        return {f"{self.SECTION}.{self.name}.{option}": at for option, at in found.items()}

    @property
    def slots(self) -> int:
        """Parts of a stage that run at the same time; 0 if the options do not say."""
        if self.is_local:
            return 1
        if self.name == "flink" and self.flink:
            return self.flink.parallelism
        return 0

    def beam_args(self) -> tuple[str, ...]:
        """Returns the arguments of every Beam pipeline."""
        return self._chosen.beam_args() if self._chosen else LOCAL_BEAM_ARGS


def _given(options: Options, *names: str) -> dict[str, str]:
    return {name: getattr(options, name) for name in names if getattr(options, name)}
