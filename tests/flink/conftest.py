from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster

ROOT = Path(__file__).parents[2]
JARS = ROOT / "build" / "flink"
POM = Path(__file__).with_name("pom.xml")


@pytest.fixture(scope="session")
def jars() -> Path:
    """The folder with Flink and Beam's runner; CI brings them, elsewhere `make test-flink` does."""
    if list(JARS.glob("beam-runners-flink-*.jar")):
        return JARS
    if not os.environ.get("COVERS_REQUIRE_SYSTEM_PACKAGES"):
        pytest.skip("Flink is not here: make test-flink brings it, and runs this")
    if not shutil.which("java") or not shutil.which("mvn"):
        pytest.skip("no Java and Maven on this system")
    command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
    brought = subprocess.run([*command, f"-DoutputDirectory={JARS}"], capture_output=True)
    if brought.returncode:
        pytest.skip(f"Maven cannot bring Flink: {brought.stdout.decode(errors='replace')[-300:]}")
    return JARS


@pytest.fixture(scope="session")
def cluster(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two TaskManagers, one of which has the slots that tests need, should the other die."""
    with running_cluster(jars, tmp_path_factory.mktemp("flink")) as running:
        yield running
