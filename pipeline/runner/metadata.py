"""Where the ML Metadata of a pipeline root are: in a SQLite file, or on a server that it remembers.

Several pipeline roots may share a server. Each has an id, which is part of its runs' ids and of the
names under which TFX looks for cached results: a root never gets files of another, which may be on
another machine, or deleted at any time.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from ml_metadata import errors, metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.support.errors import ConfigError, CoversError, DeploymentError
from components.support.options import Options
from pipeline.runner.database import check_database, metadata_file
from pipeline.runner.metadata_config import MetadataConfig, MySqlConfig

REMEMBERED_FILE_NAME = "metadata.json"

_SECONDS_TO_ANSWER = 5.0
_ATTEMPTS = 5
_SECONDS_BETWEEN = 0.5
# MySQL's protocol: a packet starts with four bytes of length and number, then comes its kind.
_KIND = slice(4, 5)
_GREETING, _ERROR = b"\x0a", b"\xff"
_ERROR_TEXT = slice(7, None)
# What ML Metadata says, which does not pass on why a server refuses a user.
_REFUSED, _NO_DATABASE = "mysql_real_connect failed", "Changing to database"
# The end of what servers say of transactions that met others'; they have undone them.
_TRY_AGAIN = "try restarting transaction"
_MOST_TRIES = 20
_MOST_SECONDS_BETWEEN = 0.5
_jitter = secrets.SystemRandom()  # leaves the seeded generators of training alone


class _Remembered(Options):
    """What a pipeline root remembers.

    Attributes:
        root_id: what tells it from other pipeline roots.
        mysql: the server that the latest run used; null if that was the SQLite file.
    """

    root_id: str
    mysql: MySqlConfig | None = None


@dataclasses.dataclass(frozen=True)
class MetadataLocation:
    """Where the ML Metadata of a pipeline root are.

    Attributes:
        pipeline_root: the root.
        server: the server, or None for the SQLite file in the root.
        root_id: what tells the root from others on the server; empty without a server.
    """

    pipeline_root: Path
    server: MySqlConfig | None = None
    root_id: str = ""

    @property
    def suffix(self) -> str:
        """The end of all names that must differ from those of other roots."""
        return f"-{self.root_id}" if self.root_id else ""

    def connection(self) -> metadata_store_pb2.ConnectionConfig:
        """How to connect, but for the password: TFX writes this to its log."""
        config = metadata_store_pb2.ConnectionConfig()
        if self.server is None:
            config.sqlite.filename_uri = str(metadata_file(self.pipeline_root))
            config.sqlite.connection_mode = (
                metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
            )
            return config
        config.mysql.host = self.server.host
        config.mysql.port = self.server.port
        config.mysql.database = self.server.database
        config.mysql.user = self.server.user
        config.mysql.skip_db_creation = True  # a mistyped name must not become a database
        return config


class _SharedStore(metadata_store.MetadataStore):
    """A store on a server where others are at work too."""

    def _call_method(self, method_name: str, request: Any, response: Any) -> None:
        """Repeats a transaction that met another's.

        ML Metadata itself repeats after deadlocks, but not after a server with snapshot isolation,
        as MariaDB has by default from 11.6 on, has found that a row changed meanwhile. TFX takes
        such an error for an answer: it passes over the node.
        """
        for tries in range(1, _MOST_TRIES + 1):
            try:
                return super()._call_method(method_name, request, response)
            except errors.InternalError as error:
                if _TRY_AGAIN not in str(error) or tries == _MOST_TRIES:
                    raise
                time.sleep(_jitter.uniform(0, _MOST_SECONDS_BETWEEN))
        raise AssertionError


def locate(pipeline_root: Path) -> MetadataLocation | None:
    """Returns where the metadata of a pipeline root's runs are; None before the first run.

    Raises:
        ConfigError: the root's memory is damaged.
    """
    remembered = _recall(pipeline_root)
    if remembered and remembered.mysql:
        return MetadataLocation(pipeline_root, remembered.mysql, remembered.root_id)
    location = MetadataLocation(pipeline_root)
    return location if metadata_file(pipeline_root).is_file() else None


def locate_for_run(config: MetadataConfig, pipeline_root: Path) -> MetadataLocation:
    """Returns where a run's metadata go, and makes the pipeline root remember that.

    Args:
        config: the options of the pipeline.
        pipeline_root: an existing folder, locked.

    Raises:
        ConfigError: the root's memory is damaged, or the server refuses the user, the password or
            the database.
        DeploymentError: the server is away.
    """
    remembered = _recall(pipeline_root)
    if config.mysql is None and remembered is None:
        return MetadataLocation(pipeline_root)
    root_id = remembered.root_id if remembered else secrets.token_hex(3)
    location = MetadataLocation(pipeline_root, config.mysql, root_id if config.mysql else "")
    if location.server:
        open_store(location)
    _remember(pipeline_root, _Remembered(root_id=root_id, mysql=config.mysql))
    return location


def open_store(location: MetadataLocation) -> metadata_store.MetadataStore:
    """Opens the store, and makes its tables the first time.

    Raises:
        ConfigError: the server refuses the user, the password or the database.
        DamagedArtifact: the database in the pipeline root is damaged.
        DeploymentError: the server is away.
        MachineError: the database in the pipeline root cannot be opened.
    """
    connection = location.connection()
    server = location.server
    if server is None:
        check_database(metadata_file(location.pipeline_root))
        return metadata_store.MetadataStore(connection)
    connection.mysql.password = _password(server)
    _check_answers(server)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _SharedStore(connection)
        except RuntimeError as error:
            _check_answers(server)  # one that has died since has not refused anybody
            refusal = _refusal(server, str(error))
            # Two that make the tables of a new database at once are in each other's way.
            if isinstance(refusal, ConfigError) or attempt == _ATTEMPTS:
                raise refusal from error
            time.sleep(_SECONDS_BETWEEN)
    raise AssertionError


def _recall(pipeline_root: Path) -> _Remembered | None:
    file = pipeline_root / REMEMBERED_FILE_NAME
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Expected to read {file}. Received: {error}.") from error
    return _Remembered.from_json(text, f"{file} as `covers run` writes it")


def _remember(pipeline_root: Path, remembered: _Remembered) -> None:
    file = pipeline_root / REMEMBERED_FILE_NAME
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(remembered.model_dump_json(indent=2) + "\n", encoding="utf-8")
    unfinished.replace(file)  # whoever reads meanwhile finds the old or the new, never half


def _password(server: MySqlConfig) -> str:
    password = os.environ.get(server.password_variable)
    if password is None:
        raise ConfigError(
            f"Expected the environment variable {server.password_variable} to hold the password "
            f"of '{server.user}' on {server.address}. Received: it is not set. "
            "Set it, to nothing if there is no password."
        )
    return password


def _check_answers(server: MySqlConfig) -> None:
    """Waits for the greeting, as ML Metadata would without an end.

    Raises:
        DeploymentError: there is no such server, or it does not greet.
    """
    try:
        with socket.create_connection((server.host, server.port), _SECONDS_TO_ANSWER) as peer:
            answer = peer.recv(4096)
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise _away(server, reason) from error
    if answer[_KIND] == _ERROR:
        raise _away(server, answer[_ERROR_TEXT].decode(errors="replace"))
    if answer[_KIND] != _GREETING:
        raise _away(server, "an answer in another protocol" if answer else "a closed connection")


def _away(server: MySqlConfig, reason: str) -> DeploymentError:
    return DeploymentError(
        f"Expected a MySQL or MariaDB server at {server.address} that answers within "
        f"{_SECONDS_TO_ANSWER:.0f} s. Received: {reason}. "
        "Start the server, or mend metadata.mysql in the configuration."
    )


def _refusal(server: MySqlConfig, message: str) -> CoversError:
    """Words why ML Metadata could not open the store."""
    if message.startswith(_REFUSED):
        return ConfigError(
            f"Expected the server at {server.address} to accept '{server.user}' with the password "
            f"in {server.password_variable}. Received: a refusal. Mend the user or the password; "
            "the account must use mysql_native_password, the only way in that ML Metadata knows."
        )
    reason = message.rpartition("error: ")[2].strip() or "a failure without a reason"
    if message.startswith(_NO_DATABASE):
        return ConfigError(
            f"Expected a database '{server.database}' at {server.address} that '{server.user}' may "
            f"use. Received: {reason}. Create it or grant the rights; docs/metadata.md says how."
        )
    return DeploymentError(
        f"Expected ML Metadata to use the database '{server.database}' at {server.address}. "
        f"Received: {reason}."
    )
