"""Says before a run what an engine lacks."""

from __future__ import annotations

import socket

from components.support.errors import DeploymentError
from pipeline.engine.config import EngineConfig

_SECONDS = 5.0


def check_reachable(engine: EngineConfig) -> None:
    """Raises unless something listens wherever a run has to reach.

    Raises:
        DeploymentError: names the option and the address.
    """
    for option, address in engine.endpoints.items():
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
        except OSError as error:
            raise DeploymentError(
                f"Expected the engine '{engine.name}' at {address} ({option}). Received: "
                f"{error.strerror or error}. Start it as docs/scale.md says, correct the address, "
                "or run the stages in this process with --set engine.name=local."
            ) from error
