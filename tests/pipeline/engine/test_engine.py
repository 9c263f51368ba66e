from __future__ import annotations

import socket
from pathlib import Path

import pytest

from components.support.compat import LOCAL_BEAM_ARGS
from components.support.engine_errors import engine_error
from components.support.errors import ConfigError, DeploymentError
from pipeline.config import load_config
from pipeline.engine.reach import check_reachable

FLINK = "engine={name: flink, flink: {job_server: 'jobs:8099', worker_pool: 'localhost:50000'}}"
SPARK = "engine={name: spark, spark: {job_server: 'jobs:8099', image: 'registry/covers:1'}}"
DATAFLOW = (
    "engine={name: dataflow, dataflow: {project: my-project, region: europe-west1, "
    "temp: gs://bucket/temp, image: 'registry/covers:1'}}"
)


def test_the_stages_run_in_this_process_unless_told_otherwise() -> None:
    assert load_config("sample").beam_args == LOCAL_BEAM_ARGS
    assert load_config("sample", ["engine=local"]) == load_config("sample")


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (
            FLINK,
            {"runner": "PortableRunner", "job_endpoint": "jobs:8099", "parallelism": 1,
             "environment_type": "EXTERNAL", "environment_config": "localhost:50000"},
        ),
        (
            "engine={name: flink, flink: {rest: 'flink:8081', job_server_jar: beam.jar, "
            "parallelism: 8, image: 'registry/covers:1'}}",
            {"runner": "FlinkRunner", "flink_master": "flink:8081", "parallelism": 8,
             "flink_submit_uber_jar": True, "flink_job_server_jar": "beam.jar",
             "environment_type": "DOCKER", "environment_config": "registry/covers:1"},
        ),
        (
            SPARK,
            {"runner": "PortableRunner", "job_endpoint": "jobs:8099",
             "environment_type": "DOCKER", "environment_config": "registry/covers:1"},
        ),
        (
            DATAFLOW,
            {"runner": "DataflowRunner", "project": "my-project", "region": "europe-west1",
             "temp_location": "gs://bucket/temp", "sdk_container_image": "registry/covers:1"},
        ),
    ],
)  # fmt: skip
def test_beam_understands_the_arguments_of_each_engine(
    engine: str, expected: dict[str, object]
) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    more = "beam_pipeline_args=['--job_name=mine']"
    understood = PipelineOptions(list(load_config("sample", [engine, more]).beam_args))
    found = understood.get_all_options()
    assert {name: found[name] for name in expected} == expected
    assert found["job_name"] == "mine"
    assert found["sdk_container_image"], "else TFX packs its sources for each stage"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["engine=flink"], r"engine: Expected engine\.flink to say where .*Received: nothing"),
        (["engine=flnk"], r"engine: Expected 'local', 'flink', .*Received: 'flnk'"),
        (["engine=[flink]"], "engine: Expected the name of an engine"),
        ([FLINK, "engine.flink.job_server=jobs"], r"HOST:PORT, such as localhost:8099\. .*: jobs"),
        ([FLINK, "engine.flink.job_server=jobs:99999"], "HOST:PORT"),
        ([FLINK, "engine.flink.job_server=null"], "job_server .*, or rest .*: neither"),
        (
            [FLINK, "engine.flink.job_server=null", "engine.flink.rest=flink:8081"],
            "where there is no job_server, .*: job_server_jar empty, job_server empty",
        ),
        ([FLINK, "engine.flink.image=covers:1"], "Received: worker_pool and image"),
        ([FLINK, "engine.flink.worker_pool=null"], "one of worker_pool .*: neither"),
        (
            [FLINK, "engine.flink.job_server_jar=a.jar"],
            rf"jar {Path.cwd()}/a\.jar, job_server jobs:8099",
        ),
        ([FLINK, "engine.flink.parallelism=0"], r"engine\.flink\.parallelism: "),
        ([FLINK, "engine.flink.paralelism=2"], r"Did you mean engine\.flink\.parallelism\?"),
        ([SPARK, "engine.spark.job_server=null"], r"engine\.spark\.job_server"),
        ([DATAFLOW, "engine.dataflow.temp=s3://b"], r"engine\.dataflow\.temp: .*gs://.*: s3://b"),
        ([DATAFLOW, "engine.dataflow.region=Europe"], r"engine\.dataflow\.region: "),
        (["beam_pipeline_args=[--runner=Nix]"], r"Expected the engine to .*: --runner=Nix\. "),
        (["beam_pipeline_args=[--runner, Nix]"], r"Received: --runner\. Leave it out, and set eng"),
        (["engine={name: dataflow, dataflow: {}}"], r"engine\.dataflow\.project: Expected a value"),
    ],
)
def test_what_is_wrong_with_an_engine_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("sample", overrides)


def test_an_engine_that_is_away_is_named_before_the_run() -> None:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        address = f"localhost:{listening.getsockname()[1]}"
        engine = load_config("sample", [FLINK, f"engine.flink.job_server={address}"]).engine
        with pytest.raises(DeploymentError, match=rf"'flink' at {address} \(engine\.flink\.job_se"):
            check_reachable(engine)
        listening.listen()
        check_reachable(engine)
    check_reachable(load_config("sample").engine)


def test_a_host_that_cannot_be_one_is_named() -> None:
    engine = load_config("sample", [FLINK, "engine.flink.job_server=beam..jobs:8099"]).engine
    with pytest.raises(DeploymentError, match=r"'flink' at beam\.\.jobs:8099 .*Received: \S"):
        check_reachable(engine)


def test_a_job_server_that_is_sent_and_not_there_is_named(tmp_path: Path) -> None:
    jar = tmp_path / "beam.jar"
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        listening.listen()
        engine = load_config(
            "sample",
            [
                f"engine={{name: flink, flink: {{rest: 'localhost:{listening.getsockname()[1]}', "
                f"job_server_jar: {jar}, worker_pool: 'localhost:50000'}}}}"
            ],
        ).engine
        with pytest.raises(ConfigError, match=r"job_server_jar .*beam\.jar, where there is no"):
            check_reachable(engine)
        jar.touch()
        check_reachable(engine)
    own = tmp_path / "own.yaml"
    own.write_text(
        "name: own\nschema: schema.pbtxt\nengine: {name: flink, flink: {rest: 'flink:8081', "
        "job_server_jar: beam.jar, worker_pool: 'localhost:50000'}}\n"
    )
    assert f"--flink_job_server_jar={jar}" in load_config(own).beam_args


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            "Pipeline job_1 failed in state FAILED: java.lang.RuntimeException: Error received "
            "from SDK harness: Traceback\n  File 'x'\nFileNotFoundError: [Errno 2] No such file or "
            "directory: '/runs/a'",
            r"same files at the same paths\. Received: no /runs/a there",
        ),
        (
            "Pipeline job_1 failed in state FAILED: java.lang.RuntimeException: Error\nTraceback\n"
            "ValueError: the reason\n\tat java.base",
            r"Received: ValueError: the reason",
        ),
        (
            "Pipeline job_1 failed in state FAILED: java.io.IOException: Insufficient number of "
            "network buffers",
            r"Received: java\.io\.IOException: Insufficient number of network buffers\. The logs",
        ),
        (
            "Pipeline job_1 failed in state FAILED: java.net.ConnectException: "
            "java.net.ConnectException: finishConnect(..) failed: Connection refused",
            "Expected Beam's worker pool .*: a refused connection",
        ),
        (
            "<_MultiThreadedRendezvous of RPC that terminated with:\n\tstatus = UNAVAILABLE",
            r"Expected the engine to run the job\. Received: status = UNAVAILABLE\.",
        ),
        (
            "<_InactiveRpcError of RPC that terminated with:\n\tstatus = UNIMPLEMENTED",
            "Expected the engine to run the job",
        ),
        (
            "Dataflow pipeline failed. State: FAILED, Error:\nTraceback\nValueError: the reason",
            r"Received: ValueError: the reason",
        ),
    ],
)
def test_a_job_that_the_engine_ended_is_one_sentence(raised: str, said: str) -> None:
    error = engine_error(RuntimeError(raised))
    assert isinstance(error, DeploymentError)
    with pytest.raises(DeploymentError, match=said):
        raise error
    assert "\n" not in str(error)


def test_an_address_of_something_else_than_a_job_server_is_said() -> None:
    from apache_beam.runners.portability.job_server import ExternalJobServer

    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        listening.listen()
        address = f"localhost:{listening.getsockname()[1]}"
        with pytest.raises(Exception) as raised:  # noqa: PT011 gRPC's own class is what is asked
            ExternalJobServer(address, timeout=0.5).start()
    error = engine_error(raised.value)
    assert isinstance(error, DeploymentError)
    assert "Check that job_server is its address" in str(error)


def test_an_error_of_this_process_is_none_of_an_engine() -> None:
    assert engine_error(ValueError("Expected more. [while running 'Plan']")) is None
