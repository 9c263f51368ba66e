"""A cluster of Apache Spark on this machine, with Beam's job server and worker pool.

A master and a worker of Spark, whose executors are further processes, and the processes of this
project's Python. Run it by hand with `PYTHONPATH=tests/flink python tests/spark/spark_cluster.py
FOLDER_OF_JARS`; it prints the options of `engine`, and ends when it is interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import JAVA, WORKER_POOL, free_ports, process, show_until_interrupted, wait_for

_MASTER = "org.apache.spark.deploy.master.Master"
_WORKER = "org.apache.spark.deploy.worker.Worker"
_JOB_SERVER = "org.apache.beam.runners.spark.SparkJobServerDriver"


@dataclasses.dataclass
class SparkCluster:
    """What runs.

    Attributes:
        job_server: address of Beam's job server.
        worker_pool: address of Beam's worker pool.
        ui: address of the master's web pages.
    """

    job_server: str
    worker_pool: str
    ui: str

    def options(self) -> dict[str, Any]:
        """Returns the options of `engine`."""
        spark = {"job_server": self.job_server, "worker_pool": self.worker_pool}
        return {"name": "spark", "spark": spark}

    def state(self) -> dict[str, Any]:
        """Returns what the master says of workers and applications."""
        with urllib.request.urlopen(f"http://{self.ui}/json/", timeout=10) as answer:
            return dict(json.load(answer))

    def jobs(self) -> dict[str, str]:
        """Returns name -> state of the jobs that Beam's job server knows."""
        import grpc
        from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

        with grpc.insecure_channel(self.job_server) as channel:
            service = beam_job_api_pb2_grpc.JobServiceStub(channel)
            found = service.GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info
        states = beam_job_api_pb2.JobState.Enum
        return {job.job_name: states.Name(job.state) for job in found}


@contextlib.contextmanager
def running_spark(jars: Path, folder: Path, cores: int = 2) -> Iterator[SparkCluster]:
    """Starts a cluster, and ends it with the block.

    Args:
        jars: folder with Spark, Beam's runner and what they need.
        folder: an existing folder for logs, temporary files and what Spark takes for its home.
        cores: tasks that run at the same time.

    Raises:
        RuntimeError: it did not start.
    """
    for name in ("logs", "temporary", "home"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "home" / "jars").symlink_to(jars)
    environment = {
        "SPARK_HOME": str(folder / "home"),
        "SPARK_SCALA_VERSION": "2.12",
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }
    master, ui, job, artifacts, pool = free_ports(5)
    with contextlib.ExitStack() as stack:

        def java(name: str, *command: str) -> None:
            line = (*JAVA, "-Xmx640m", "-cp", f"{jars}/*", *command)
            stack.enter_context(process(folder, name, line, environment))

        java(
            "master", _MASTER, "--host", "localhost", "--port", str(master),
            "--webui-port", str(ui),
        )  # fmt: skip
        java(
            "worker", _WORKER, f"spark://localhost:{master}", "--host", "localhost",
            "--cores", str(cores), "--memory", "1g", "--webui-port", "0",
            "--work-dir", str(folder / "work"),
        )  # fmt: skip
        java(
            "job-server", "-Dspark.ui.enabled=false", _JOB_SERVER,
            f"--spark-master-url=spark://localhost:{master}", "--job-host=localhost",
            f"--job-port={job}", f"--artifact-port={artifacts}", "--expansion-port=0",
            f"--artifacts-dir={folder / 'artifacts'}",
        )  # fmt: skip
        pool_command = (sys.executable, *WORKER_POOL, "--service_port", str(pool))
        stack.enter_context(process(folder, "worker-pool", pool_command))
        cluster = SparkCluster(f"localhost:{job}", f"localhost:{pool}", f"localhost:{ui}")
        wait_for(
            "a Spark cluster",
            (cluster.job_server, cluster.worker_pool),
            lambda: cluster.state()["aliveworkers"] == 1,
            folder,
        )
        yield cluster


def main(jars: Path) -> None:
    """Runs a cluster until it is interrupted."""
    with (
        tempfile.TemporaryDirectory(prefix="covers-spark-") as folder,
        running_spark(jars.resolve(), Path(folder)) as cluster,
    ):
        show_until_interrupted(cluster.options())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
