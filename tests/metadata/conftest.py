"""Real database servers, each for one module of tests, on a loopback port."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

PASSWORD = "covers-tell-nobody"
REQUIRED = "COVERS_REQUIRE_SYSTEM_PACKAGES"

_HOST = "127.0.0.1"
_SECONDS_TO_START = 60.0
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
# Nobody may use the database `closed`.
_DATABASES = ("covers_refusals", "covers_texts", "covers_runs")
_GRANTS = "".join(
    f"CREATE DATABASE {name};\nGRANT ALL ON {name}.* TO covers;\n" for name in _DATABASES
)
_MARIADB_USERS = (
    f"CREATE USER covers IDENTIFIED BY '{PASSWORD}';\n{_GRANTS}CREATE DATABASE closed;\n"
)


@dataclasses.dataclass
class Server:
    """A database server that listens on a port.

    Attributes:
        port: where it listens.
        process: the server.
    """

    port: int
    process: subprocess.Popen[bytes]

    @property
    def mysql(self) -> str:
        """The options of a server, to which `database` is to be added, as YAML."""
        return f"host: {_HOST}, port: {self.port}, user: covers"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Server]:
    """A MariaDB server with empty databases."""
    install, serve = _needed(
        ("mariadb-install-db", "mariadbd"), "mariadb-server-core mariadb-client-core"
    )
    with _folder() as folder, _free_port() as port:
        data = f"--datadir={folder / 'data'}"
        user = ("--user=root",) if os.geteuid() == 0 else ()
        accounts = ("--auth-root-authentication-method=normal", "--skip-test-db")
        _run(install, "--no-defaults", data, *user, *accounts)
        users = folder / "users.sql"
        users.write_text(_MARIADB_USERS)
        options = (f"--port={port}", f"--bind-address={_HOST}", f"--init-file={users}")
        # The default from MariaDB 11.6 on, under which users of a table meet more often.
        options = (*options, "--innodb-snapshot-isolation=ON")
        files = (f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}")
        with _serving(port, folder, serve, "--no-defaults", data, *user, *options, *files) as it:
            yield it


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server whose superuser is `postgres`."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    path = os.pathsep.join((*map(str, reversed(versions)), _PATH))
    initialise, serve = _needed(("initdb", "postgres"), "postgresql", path)
    # It refuses to run as root.
    as_user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    with _folder("postgres" if as_user else None) as folder, _free_port() as port:
        data = str(folder / "data")
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        sign_in = ("--auth=scram-sha-256", "--username=postgres", f"--pwfile={password}")
        _run(*as_user, initialise, "-D", data, "--encoding=UTF8", "--no-sync", *sign_in)
        settings = (f"listen_addresses={_HOST}", f"port={port}", "unix_socket_directories=")
        options = [part for setting in settings for part in ("-c", setting)]
        with _serving(port, folder, *as_user, serve, "-D", data, *options) as it:
            yield it


@pytest.fixture(scope="module")
def postgresql_store(postgresql: Server) -> metadata_store.MetadataStore:
    """The store of ML Metadata in a new database of PostgreSQL."""
    config = metadata_store_pb2.ConnectionConfig()
    config.postgresql.host, config.postgresql.port = _HOST, str(postgresql.port)
    config.postgresql.user, config.postgresql.password = "postgres", PASSWORD
    config.postgresql.dbname = "covers_texts"
    return metadata_store.MetadataStore(config)


def _needed(programs: tuple[str, ...], packages: str, path: str = _PATH) -> list[str]:
    """Finds programs; a test that lacks one is skipped, or fails where all must be there."""
    found = [shutil.which(program, path=path) for program in programs]
    if None not in found:
        return [each for each in found if each]
    reason = (
        f"Expected {' and '.join(programs)}, for tests with a real server. "
        f"Install them with: apt-get install --no-install-recommends {packages}"
    )
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def _folder(owner: str | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="covers-") as folder:  # short, for sockets' names
        if owner:
            shutil.chown(folder, owner)
        yield Path(folder)


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        port = taken.getsockname()[1]
    yield port


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}"


@contextlib.contextmanager
def _serving(port: int, folder: Path, *command: str) -> Iterator[Server]:
    log = folder / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        _wait(process, port, log)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until the server accepts connections."""
    give_up = time.monotonic() + _SECONDS_TO_START
    while process.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), 1.0):
            return
        time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{log.read_text(errors='replace')}")
