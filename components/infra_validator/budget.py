"""What a loader took, and whether that is no more than allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from components.contracts.serving_check import Measurements, ServingTest
from components.infra_validator.config import InfraValidatorConfig

# The cache knows what was measured, not how busy the machine was.
_AGAIN = (
    "If this machine was busy, measure again: the refusal is cached until an option changes, so "
    "give infra_validator.requests another value. (--no-cache would train again as well.)"
)


def measure(answer: Mapping[str, Any]) -> Measurements:
    """Returns what a loader took, from what `probe.py` wrote."""
    loads, memory, latencies = (answer[key] for key in ("load_seconds", "memory_mb", "latency_ms"))
    p50, p95 = np.percentile(latencies, (50, 95)).tolist() if latencies else (None, None)
    return Measurements(loads[0], loads[1], p50, p95, memory[0], memory[1])


def judge_budget(
    loader: str, taken: Measurements, config: InfraValidatorConfig
) -> Iterator[ServingTest]:
    """Yields whether a loader took no more time and memory than allowed; null is no bound."""
    load = max(taken.load_seconds, taken.second_load_seconds)
    latency, memory = taken.latency_p95_ms, taken.second_memory_mb
    for name, value, bound, option, unit in (
        ("time to load", load, config.max_load_seconds, "max_load_seconds", "s"),
        ("latency, 95th percentile", latency, config.max_latency_ms, "max_latency_ms", "ms"),
        ("memory, loaded twice", memory, config.max_memory_mb, "max_memory_mb", "MB"),
    ):
        if bound is None or value is None:
            continue
        remedy = (
            f"Choose a smaller network or image size, or raise infra_validator.{option} if servers "
            f"have more. {_AGAIN}"
        )
        passed = value <= bound
        yield ServingTest(
            name=name,
            loader=loader,
            needed=f"at most {_text(bound)} {unit}",
            got=f"{_text(value)} {unit}",
            passed=passed,
            value=value,
            bound=bound,
            remedy="" if passed else remedy,
        )


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
