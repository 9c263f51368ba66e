from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from spark_cluster import SparkCluster, running_spark

JARS = Path(__file__).parents[2] / "build" / "spark"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    if not list(JARS.glob("beam-runners-spark-*.jar")):
        pytest.skip("Spark is not here: make test-spark brings it, 300 MB, and runs this")
    with running_spark(JARS, tmp_path_factory.mktemp("spark")) as running:
        yield running
