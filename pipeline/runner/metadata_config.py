"""The options of ML Metadata: the record of runs and artifacts, and of what the cache may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from components.support.options import Options

_CHOICES = "Expected sqlite, or a mapping with the server's options under mysql."
# Not the value: who writes a URL here may have written the password into it.
_HIDDEN = "Received: something else"
_POSTGRESQL = (
    f"{_CHOICES} Received: postgresql, on which ML Metadata 1.16 and 1.21 lose runs: they cannot "
    "store texts with a backslash, nor long ones. Take MySQL or MariaDB"
)


class MySqlConfig(Options):
    """A database of a MySQL or MariaDB server.

    Attributes:
        host: name or address of the server.
        port: TCP port of the server.
        database: name of the database, which must exist.
        user: who signs in.
        password_variable: the environment variable that holds the password, which is nowhere else.
    """

    SECTION = "metadata.mysql"

    host: str
    port: int = Field(default=3306, ge=1, le=65535)
    database: str = Field(min_length=1, max_length=64)
    user: str = Field(min_length=1)
    password_variable: str = Field(
        default="COVERS_METADATA_PASSWORD", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"
    )

    @model_validator(mode="before")
    @classmethod
    def _check_mapping(cls, given: Any) -> Any:
        if not isinstance(given, (Mapping, cls)):
            raise ValueError(f"Expected a mapping with host, database and user. {_HIDDEN}")
        return given

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
            raise ValueError(f"Expected the name or the address of a server alone. {_HIDDEN}")
        return host

    @property
    def address(self) -> str:
        """Where it listens, for messages."""
        return f"{self.host}:{self.port}"


class MetadataConfig(Options):
    """Where runs on this machine keep their ML Metadata; `sqlite` in YAML stands for no server.

    Attributes:
        mysql: the server; null keeps a SQLite file in the pipeline root.
    """

    SECTION = "metadata"

    mysql: MySqlConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_kind(cls, given: Any) -> Any:
        if given == "sqlite":
            return {}
        if given == "postgresql" or (isinstance(given, Mapping) and "postgresql" in given):
            raise ValueError(_POSTGRESQL)
        if not isinstance(given, (Mapping, cls)):
            raise ValueError(f"{_CHOICES} {_HIDDEN}")
        return given
