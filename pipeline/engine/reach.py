"""Says before a run what an engine lacks."""

from __future__ import annotations

import socket
from pathlib import Path

from components.support.errors import ConfigError, DeploymentError
from components.support.file_systems import is_url
from pipeline.engine.config import EngineConfig

_SECONDS = 5.0


def check_reachable(engine: EngineConfig) -> None:
    """Raises unless something listens wherever a run has to reach.

    Raises:
        ConfigError: a file that a run sends is not there.
        DeploymentError: names the option and the address.
    """
    jar = engine.flink.job_server_jar if engine.flink and engine.name == "flink" else None
    if jar and not is_url(str(jar)) and not Path(jar).is_file():
        raise ConfigError(
            "Expected engine.flink.job_server_jar to be the file of Beam's job server for Flink, "
            f"or its URL. Received: {jar}, where there is no file."
        )
    for option, address in engine.endpoints.items():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
        except (OSError, UnicodeError) as error:  # the latter if it cannot be a host's name
            reason = getattr(error, "strerror", None) or error
            raise DeploymentError(
                f"Expected the engine '{engine.name}' at {address} ({option}). Received: "
                f"{reason}. Start it as docs/scale.md says, correct the address, or run "
                "the stages in this process with --set engine.name=local."
            ) from error
