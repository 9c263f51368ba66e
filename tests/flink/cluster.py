"""A cluster of Apache Flink on this machine, with Beam's job server and worker pool.

One JobManager, some TaskManagers, each a Java process, and the processes of this project's Python.
Run it by hand with `python tests/flink/cluster.py FOLDER_OF_JARS`; it prints the options of
`engine`, and ends when it is interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from processes import JAVA, WORKER_POOL, free_ports, process, show_until_interrupted, wait_for

_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
# A TaskManager computes its memory from these only if all are given; the scripts do it otherwise.
_TASK_MEMORY = {
    "framework.heap.size": "128mb",
    "framework.off-heap.size": "128mb",
    "task.heap.size": "512mb",
    "task.off-heap.size": "0mb",
    "managed.size": "256mb",
    "network.min": "256mb",
    "network.max": "256mb",
    "jvm-metaspace.size": "256mb",
    "jvm-overhead.min": "128mb",
    "jvm-overhead.max": "128mb",
}


@dataclasses.dataclass
class Cluster:
    """What runs.

    Attributes:
        job_server: address of Beam's job server.
        worker_pool: address of Beam's worker pool.
        rest: address of Flink's REST API.
        task_managers: their processes.
        server: the process of Beam's job server; without it, a job that hangs ends for its client.
    """

    job_server: str
    worker_pool: str
    rest: str
    task_managers: list[subprocess.Popen[bytes]]
    server: subprocess.Popen[bytes]

    def options(self, parallelism: int) -> dict[str, Any]:
        """Returns the options of `engine`."""
        flink = {
            "job_server": self.job_server,
            "rest": self.rest,
            "worker_pool": self.worker_pool,
            "parallelism": parallelism,
        }
        return {"name": "flink", "flink": flink}

    def ask(self, path: str) -> Any:
        """Returns an answer of Flink's REST API."""
        with urllib.request.urlopen(f"http://{self.rest}/{path}", timeout=10) as answer:
            return json.load(answer)


@contextlib.contextmanager
def running_cluster(
    jars: Path, folder: Path, task_managers: int = 2, slots: int = 2
) -> Iterator[Cluster]:
    """Starts a cluster, and ends it with the block.

    Args:
        jars: folder with Flink, Beam's runner and what they need.
        folder: an existing folder for configuration, logs and temporary files.
        task_managers: how many there are.
        slots: task slots of each.

    Raises:
        RuntimeError: it did not start.
    """
    rpc, rest, job, artifacts, pool = (f"localhost:{port}" for port in free_ports(5))
    _configure(folder, rpc, rest, slots)
    with contextlib.ExitStack() as stack:

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(process(folder, name, command))

        def java(name: str, megabytes: int, *command: str) -> subprocess.Popen[bytes]:
            memory = (f"-Xmx{megabytes}m", "-XX:MaxDirectMemorySize=512m")
            return start(name, *JAVA, *memory, "-cp", f"{jars}/*", *command)

        java("jobmanager", 512, _JOB_MANAGER, "--configDir", str(folder))
        workers = [
            java(f"taskmanager-{number}", 640, _TASK_MANAGER, "--configDir", str(folder))
            for number in range(task_managers)
        ]
        start(
            "worker-pool", sys.executable, *WORKER_POOL,
            "--service_port", pool.rpartition(":")[2],
        )  # fmt: skip
        server = java(
            "job-server", 384, _JOB_SERVER, f"--flink-master={rest}", f"--flink-conf-dir={folder}",
            "--job-host=localhost", f"--job-port={job.rpartition(':')[2]}",
            f"--artifact-port={artifacts.rpartition(':')[2]}", "--expansion-port=0",
            f"--artifacts-dir={folder / 'artifacts'}",
        )  # fmt: skip
        cluster = Cluster(job, pool, rest, workers, server)
        wait_for(
            "a Flink cluster",
            (job, pool),
            lambda: cluster.ask("overview")["taskmanagers"] == task_managers,
            folder,
        )
        yield cluster


def _configure(folder: Path, rpc: str, rest: str, slots: int) -> None:
    lines = {
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": rpc.rpartition(":")[2],
        "rest.address": "localhost",
        "rest.bind-address": "localhost",
        "rest.port": rest.rpartition(":")[2],
        "taskmanager.host": "localhost",
        "taskmanager.bind-host": "localhost",
        "taskmanager.numberOfTaskSlots": slots,
        "taskmanager.cpu.cores": slots,
        "cluster.evenly-spread-out-slots": "true",
        # Whoever dies is missed soon, and what it did is done again; attempts until then fail.
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 10000,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 30,
        "restart-strategy.fixed-delay.delay": "1 s",
        # A stage has many exchanges at a time; each would take 16 MB of buffers.
        "taskmanager.network.sort-shuffle.min-buffers": 32,
        # Beam's classes are in the class path; a job's own copies of them would pile up.
        "classloader.resolve-order": "parent-first",
        "io.tmp.dirs": folder / "temporary",
        **{f"taskmanager.memory.{name}": size for name, size in _TASK_MEMORY.items()},
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (folder / "flink-conf.yaml").write_text(text, encoding="utf-8")
    for name in ("logs", "temporary"):
        (folder / name).mkdir(exist_ok=True)


def main(jars: Path) -> None:
    """Runs a cluster until it is interrupted."""
    with (
        tempfile.TemporaryDirectory(prefix="covers-flink-") as folder,
        running_cluster(jars.resolve(), Path(folder)) as cluster,
    ):
        show_until_interrupted(cluster.options(parallelism=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
