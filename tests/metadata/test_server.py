"""ML Metadata on real servers: what they keep, and how they refuse."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from ml_metadata import metadata_store
from ml_metadata.errors import InternalError
from ml_metadata.proto import metadata_store_pb2

from components.contracts.outcome import Outcome
from components.support.errors import ConfigError, CoversError, DeploymentError
from pipeline.cli import main
from pipeline.runner.history import RunHistory, past_runs
from pipeline.runner.metadata import (
    REMEMBERED_FILE_NAME,
    MetadataLocation,
    locate,
    locate_for_run,
    open_store,
)
from pipeline.runner.metadata_config import MetadataConfig, MySqlConfig
from pipeline.runner.result import RunResult

from .conftest import PASSWORD, Server

ROOT = Path(__file__).parents[2]
VARIABLE = "COVERS_METADATA_PASSWORD"
# What breaks badly quoted SQL, too narrow characters and too short columns.
TEXTS = ("日本語 🎵", 'it\'s "quoted"', r"C:\covers \n \' %s", "line\nline", "x1y2" * 50_000)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)


def _config(port: int, database: str, user: str = "covers") -> MySqlConfig:
    return MySqlConfig(host="127.0.0.1", port=port, database=database, user=user)


def _location(root: Path, config: MySqlConfig, root_id: str = "a1b2c3") -> MetadataLocation:
    return MetadataLocation(root, config, root_id)


def _result(run_id: str, error: str = "") -> RunResult:
    return RunResult(run_id, "tiny", "covers", Outcome.FAILED, {}, 1.0, "log", error=error)


@contextlib.contextmanager
def _listener(answer: bytes | None) -> Iterator[int]:
    """Listens on a port; answers those who connect, unless it is None."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if answer is not None:

            def greet() -> None:
                with contextlib.suppress(OSError):
                    peer, _ = server.accept()
                    with peer:
                        peer.sendall(answer)

            threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8])
def test_a_server_keeps_any_result(mariadb: Server, tmp_path: Path, text: str) -> None:
    history = RunHistory(_location(tmp_path, _config(mariadb.port, "covers_texts")))
    run_id = f"{time.time_ns()}-a1b2c3"
    history.record(_result(run_id, error=text))
    (kept,) = (run.result for run in history.runs() if run.run_id == run_id)
    assert kept is not None
    assert kept.error == text


@pytest.mark.parametrize("text", [TEXTS[2], "".join(map(str, range(10_000)))], ids=["\\", "long"])
def test_ml_metadata_loses_texts_on_postgresql(
    postgresql_store: metadata_store.MetadataStore, text: str
) -> None:
    """Why `metadata: postgresql` is refused: when this fails, it need not be any longer."""
    kind = metadata_store_pb2.ContextType(name="pipeline_run")
    type_id = postgresql_store.put_context_type(kind)
    run = metadata_store_pb2.Context(type_id=type_id, name=str(time.time_ns()))
    run.custom_properties["covers_result"].string_value = text
    with pytest.raises(InternalError, match="PostgreSQL"):
        postgresql_store.put_contexts([run])


def test_roots_on_one_server_see_their_own_runs(mariadb: Server, tmp_path: Path) -> None:
    config = MetadataConfig(mysql=_config(mariadb.port, "covers_refusals"))
    locations = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        location = locate_for_run(config, tmp_path / name)
        RunHistory(location).record(_result(f"20261126-120000-000000{location.suffix}"))
        locations.append(location)
    assert locations[0].suffix != locations[1].suffix
    for location in locations:
        assert locate(location.pipeline_root) == location
        assert locate_for_run(config, location.pipeline_root) == location
        (run,) = past_runs(location.pipeline_root)
        assert run.run_id.endswith(location.suffix)
        assert PASSWORD not in (location.pipeline_root / REMEMBERED_FILE_NAME).read_text()


def test_a_root_that_goes_back_to_sqlite_keeps_its_id(mariadb: Server, tmp_path: Path) -> None:
    on_server = MetadataConfig(mysql=_config(mariadb.port, "covers_refusals"))
    before = locate_for_run(on_server, tmp_path)
    assert locate_for_run(MetadataConfig(), tmp_path) == MetadataLocation(tmp_path)
    assert locate(tmp_path) is None  # no SQLite file yet
    assert locate_for_run(on_server, tmp_path) == before


WRITER = """
import sys
from pathlib import Path
from pipeline.runner.metadata import MetadataLocation, open_store
from pipeline.runner.metadata_config import MySqlConfig

store = open_store(MetadataLocation(Path(), MySqlConfig.from_json(sys.argv[1]), "a1b2c3"))
(execution,) = store.get_executions_by_id([int(sys.argv[2])])
while True:
    execution.custom_properties["step"].int_value += 1
    store.put_executions([execution])
"""


@pytest.mark.slow
def test_who_reads_while_others_write_is_not_refused(mariadb: Server, tmp_path: Path) -> None:
    """TFX takes a refusal for an answer: it passes over the node and goes on with the next."""
    location = _location(tmp_path, _config(mariadb.port, "covers_texts"))
    store = open_store(location)
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Trainer"))
    context_type = store.put_context_type(metadata_store_pb2.ContextType(name="node"))
    execution = metadata_store_pb2.Execution(type_id=type_id)
    context = metadata_store_pb2.Context(type_id=context_type, name="tiny.Trainer")
    execution_id, _, (context_id,) = store.put_execution(execution, [], [context])
    assert location.server is not None
    arguments = (location.server.model_dump_json(), str(execution_id))
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments],  # threads wait for each other in the library
        cwd=ROOT,
    ) as writer:
        try:
            last = _steps(store, execution_id) + 100
            while _steps(store, execution_id) < last and writer.poll() is None:
                assert len(store.get_executions_by_context(context_id)) == 1
            assert writer.poll() is None
        finally:
            writer.kill()


def _steps(store: metadata_store.MetadataStore, execution_id: int) -> int:
    """Waits for a step of the writer; returns how many there were."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        (execution,) = store.get_executions_by_id([execution_id])
        if steps := execution.custom_properties["step"].int_value:
            return int(steps)
        time.sleep(0.1)
    return 0


REFUSALS = {
    "user": ({"user": "nobody"}, ConfigError, "to accept 'nobody' with the password in"),
    "database": ({"database": "closed"}, ConfigError, "Received: Access denied for user"),
    "missing": ({"database": "covers_none"}, ConfigError, "Expected a database 'covers_none'"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_refuses_in_one_sentence(mariadb: Server, tmp_path: Path, name: str) -> None:
    changes, kind, sentence = REFUSALS[name]
    config = _config(mariadb.port, "covers_refusals").model_copy(update=changes)
    _assert_refused(_location(tmp_path, config), kind, sentence)


def test_a_wrong_or_missing_password_is_told_without_it(
    mariadb: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = _location(tmp_path, _config(mariadb.port, "covers_refusals"))
    monkeypatch.setenv(VARIABLE, "a-wrong-one")
    _assert_refused(location, ConfigError, f"with the password in {VARIABLE}. Received: a refusal")
    monkeypatch.delenv(VARIABLE)
    _assert_refused(location, ConfigError, f"{VARIABLE} to hold the password of 'covers'")


AWAY = {
    "busy": (b"\x17\x00\x00\x00\xff\x10\x04Too many connections", "Too many connections"),
    "other": (b"SSH-2.0-OpenSSH_9.2\r\n", "an answer in another protocol"),
    "closing": (b"", "a closed connection"),
    "silent": (None, "no answer"),
}


@pytest.mark.parametrize("name", AWAY)
def test_a_server_that_is_none_is_told_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("pipeline.runner.metadata._SECONDS_TO_ANSWER", 1.0)
    answer, reason = AWAY[name]
    with _listener(answer) as port:
        location = _location(tmp_path, _config(port, "covers_refusals"))
        _assert_refused(location, DeploymentError, f"Received: {reason}.")


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    location = _location(tmp_path, _config(_free_port(), "covers_refusals"))
    _assert_refused(location, DeploymentError, "Received: Connection refused.")


def _assert_refused(location: MetadataLocation, kind: type[CoversError], sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        open_store(location)
    assert time.monotonic() - began < 10
    message = str(caught.value)
    assert sentence in message
    assert "\n" not in message
    assert PASSWORD not in message and "a-wrong-one" not in message


@pytest.mark.parametrize("command", ["run", "runs", "report", "diagnose"])
@pytest.mark.parametrize(
    ("is_away", "exit_code"), [(True, 1), (False, 2)], ids=["away", "wrong password"]
)
def test_each_command_ends_with_a_sentence(
    mariadb: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    is_away: bool,
    exit_code: int,
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    config = _config(mariadb.port, "covers_refusals")
    locate_for_run(MetadataConfig(mysql=config), root)
    if is_away:
        config = config.model_copy(update={"port": _free_port()})
        memory = root / REMEMBERED_FILE_NAME
        memory.write_text(memory.read_text().replace(str(mariadb.port), str(config.port)))
    else:
        monkeypatch.setenv(VARIABLE, "a-wrong-one")
    arguments = [command, "--pipeline-root", str(root)]
    if command == "run":
        arguments += ["--set", f"metadata={{mysql: {config.model_dump_json()}}}"]
    outcome = CliRunner().invoke(main, arguments)
    assert isinstance(outcome.exception, SystemExit)
    assert outcome.exit_code == exit_code
    (line,) = outcome.output.splitlines()
    assert line.startswith("Error: Expected ")
    assert "a-wrong-one" not in line


def test_a_damaged_memory_is_told(tmp_path: Path) -> None:
    (tmp_path / REMEMBERED_FILE_NAME).write_text("{")
    outcome = CliRunner().invoke(main, ["runs", "--pipeline-root", str(tmp_path)])
    assert outcome.exit_code == 2
    assert f"Error: Expected {tmp_path / REMEMBERED_FILE_NAME} as `covers run`" in outcome.output
