"""What InfraValidator found when it loaded and asked the exported model: checks and measurements.

`serving_check.json` lies in InfraValidator's artifact, beside the decision made from it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.records import read_record, write_record

SERVING_CHECK_FILE = "serving_check.json"
FORMAT_VERSION = 1


class State(str, enum.Enum):
    """How the check ended."""

    PASSED = "passed"
    REFUSED = "refused"
    NOT_CHECKED = "not checked"
    """The evaluation had refused the model: it was not loaded."""


@dataclasses.dataclass(frozen=True)
class ServingTest:
    """One thing that was required of the model.

    Attributes:
        name: what was tried, such as "recorded covers".
        loader: which loader answered; empty if none is involved, or both.
        needed: what was required, in words.
        got: what was found, in words.
        passed: whether that is what was required.
        value: what was measured; None if it is not a number.
        bound: what it was measured against; None if there is no bound.
        remedy: what to do about it; empty if it passed.
    """

    name: str
    loader: str
    needed: str
    got: str
    passed: bool
    value: float | None = None
    bound: float | None = None
    remedy: str = ""

    @property
    def where(self) -> str:
        """What it is about, such as "session loader: recorded covers"."""
        return f"{self.loader} loader: {self.name}" if self.loader else self.name

    def sentence(self) -> str:
        """Returns the test in plain English."""
        return f"{self.where}: expected {self.needed}, received {self.got}."


@dataclasses.dataclass(frozen=True)
class Measurements:
    """What one loader took, in a process of its own.

    Attributes:
        load_seconds: time to load the model, without starting the process.
        second_load_seconds: time to load it once more, beside the first.
        latency_p50_ms: median time to answer a request for one cover; None if none was answered.
        latency_p95_ms: 95th percentile of that.
        memory_mb: greatest resident memory of the process with the model loaded once.
        second_memory_mb: the same with the model loaded twice, as while versions change.
    """

    load_seconds: float
    second_load_seconds: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    memory_mb: float
    second_memory_mb: float


@dataclasses.dataclass(frozen=True)
class ServingCheck:
    """The record of one model.

    Attributes:
        state: how the check ended.
        requests: how many requests each loader was asked.
        covers: how many of the test covers were among them.
        tests: everything that was required, in the order of the table.
        loaders: loader -> what it took; without those that gave no answer.
    """

    state: State
    requests: int = 0
    covers: int = 0
    tests: tuple[ServingTest, ...] = ()
    loaders: Mapping[str, Measurements] = dataclasses.field(default_factory=dict)

    @property
    def failures(self) -> tuple[ServingTest, ...]:
        """What was not as required."""
        return tuple(test for test in self.tests if not test.passed)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record ready for JSON."""
        return {**dataclasses.asdict(self), "state": self.state.value}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ServingCheck:
        """Reads what `to_dict` returned."""
        return cls(
            state=State(fields["state"]),
            requests=fields["requests"],
            covers=fields["covers"],
            tests=tuple(ServingTest(**each) for each in fields["tests"]),
            loaders={name: Measurements(**each) for name, each in fields["loaders"].items()},
        )


def write_serving_check(folder: Path | str, check: ServingCheck) -> None:
    """Writes `serving_check.json`, making the folder as needed."""
    write_record(Path(folder) / SERVING_CHECK_FILE, FORMAT_VERSION, check.to_dict())


def read_serving_check(folder: Path | str) -> ServingCheck:
    """Reads what `write_serving_check` wrote.

    Raises:
        DeploymentError: there is no such file, or it is of another version.
    """
    path = Path(folder) / SERVING_CHECK_FILE
    return read_record(path, FORMAT_VERSION, "the serving check of a model", ServingCheck.from_dict)
