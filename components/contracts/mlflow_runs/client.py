"""Logs a run in MLflow, once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from components.contracts.files import REPORT_PAGE
from components.contracts.mlflow_runs.config import TRACKING_VARIABLE, MlflowConfig
from components.contracts.mlflow_runs.record import (
    IDENTITY_TAG,
    curves,
    identity,
    metrics,
    parameters,
    tags,
)
from components.contracts.outcome import Outcome
from components.contracts.signatures import (
    DECISIONS,
    IMAGE_BYTES,
    PROBABILITIES,
    ModelDescription,
    read_model_description,
)
from components.support.errors import ConfigError, CoversError, DamagedArtifact, DeploymentError
from components.support.file_systems import is_url
from components.support.texts import shortened

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REPORTS, _MODEL = "report", "model"
_LOADER = Path(__file__).with_name("covers_pyfunc.py")
_AT_ONCE = 900
_PARAMETERS_AT_ONCE = 90
_FINISHED = "FINISHED"
# MLflow's own: no reports of its use to its makers, no bars and links among our lines, and an end.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclasses.dataclass(frozen=True)
class Logged:
    """A run in MLflow.

    Attributes:
        run_id: MLflow's.
        experiment: its name.
        store: the server or folder, without credentials.
        is_new: whether it was logged now, not before.
        lacks_model: whether its model should have been logged, and is not here any more.
    """

    run_id: str
    experiment: str
    store: str
    is_new: bool
    lacks_model: bool = False

    def __str__(self) -> str:
        done = "Logged to" if self.is_new else "Was logged before to"
        where = f"{self.store}: experiment {self.experiment}, run {self.run_id}"
        without = ", without its model, which is not here any more" if self.lacks_model else ""
        return f"{done} MLflow at {where}{without}."


def check_installed() -> None:
    """Raises if MLflow's client is not installed.

    Raises:
        ConfigError: it is not.
    """
    if find_spec("mlflow") is None:
        raise ConfigError(
            "Expected MLflow's client for the options of mlflow. Received: none installed. Install "
            "the project with its extra `mlflow`, or leave the options out."
        )


def log_run(
    config: MlflowConfig,
    report: Path,
    model: Path | None,
    *,
    run_id: str = "",
    folder: Path | None = None,
) -> Logged:
    """Logs a run that was evaluated, unless it has been logged there.

    Args:
        config: where, and what.
        report: its `report.json`; the page and the label errors beside it are logged as well.
        model: the SavedModel, or None if it is not here.
        run_id: what the run is called, where its report does not know.
        folder: where to log if neither the options nor the environment name a place.

    Raises:
        ConfigError: MLflow's client is not installed, no place is named, or the run has no
            evaluation.
        DamagedArtifact: the model is damaged.
        DeploymentError: the report cannot be read, or MLflow failed.
    """
    check_installed()
    content = _read(report)
    store = _store(config, folder)
    with _quietly():
        from mlflow import MlflowClient

        try:
            client = MlflowClient(tracking_uri=store)
            experiment, number = _experiment(client, config, content)
            found = _find(client, number, identity(content))
            if found:
                return Logged(found, experiment, _shown(store), is_new=False)
            is_kept = config.models == "all" or (
                config.models == "pushed" and content["verdict"]["outcome"] == Outcome.PUSHED.value
            )
            created = _log(client, number, content, report, model if is_kept else None, run_id)
        except CoversError:
            raise
        except Exception as error:  # MLflow raises those of its transports and stores as well
            raise DeploymentError(
                f"Expected MLflow to take a run at {_shown(store)}. Received: "
                f"{_without_secret(f'{type(error).__name__}: {error}', store)}. See that the "
                "server is up and the credentials are right."
            ) from error
    lacks_model = is_kept and model is None
    return Logged(created, experiment, _shown(store), is_new=True, lacks_model=lacks_model)


def try_to_log_run(
    config: MlflowConfig,
    report: Path,
    find_model: Callable[[], Path | None],
    *,
    retry: str = "",
    **where: Any,
) -> str:
    """Does as `log_run`, and returns in one line what was done; never raises.

    Args:
        config: see `log_run`.
        report: see `log_run`.
        find_model: returns the model; see `log_run`.
        retry: how to do it later.
        where: see `log_run`.
    """
    try:
        return str(log_run(config, report, find_model(), **where))
    except Exception as error:  # the run has ended, and its outcome stands
        problem = str(error) if isinstance(error, CoversError) else f"Unexpected {error!r}."
        return f"Not logged to MLflow: {problem} {retry}".rstrip()


def _read(report: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(report.read_bytes())
        evaluation = content["evaluation"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DeploymentError(
            f"Expected the report of a run at {report}. Received: {type(error).__name__}: {error}. "
            "Copy it again, or repeat the run."
        ) from error
    if evaluation is None:
        raise ConfigError(
            f"Expected a run with an evaluation. Received: {report}, of one that ended before "
            "there was one. Leave it out."
        )
    return content  # type: ignore[no-any-return]


def _store(config: MlflowConfig, folder: Path | None) -> str:
    given = config.tracking_uri or os.environ.get(TRACKING_VARIABLE, "").strip() or folder
    if not given:
        raise ConfigError(
            f"Expected mlflow.tracking_uri, or the environment variable {TRACKING_VARIABLE}. "
            "Received: neither."
        )
    is_folder = isinstance(given, Path) or Path(given).is_absolute()
    return Path(given).absolute().as_uri() if is_folder else str(given)


def _experiment(client: MlflowClient, config: MlflowConfig, content: Any) -> tuple[str, str]:
    from mlflow.exceptions import MlflowException

    name = config.experiment or content["provenance"]["pipeline"]
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return name, client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another run may have made it meanwhile
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise ConfigError(
            f"Expected an experiment that is in use. Received: {name}, which was deleted in "
            "MLflow. Restore it there, or name another with mlflow.experiment."
        )
    return name, found.experiment_id


def _find(client: MlflowClient, experiment: str, identity_of_run: str) -> str | None:
    """Returns the run that is logged; what an interrupted attempt has left is deleted."""
    condition = f"tags.`{IDENTITY_TAG}` = '{identity_of_run}'"
    finished = None
    for run in client.search_runs([experiment], condition):
        if run.info.status == _FINISHED:
            finished = run.info.run_id
        else:
            client.delete_run(run.info.run_id)
    return finished


def _log(
    client: MlflowClient,
    experiment: str,
    content: Any,
    report: Path,
    model: Path | None,
    run_id: str,
) -> str:
    from mlflow.entities import Metric, Param

    description = _describe(model) if model else None
    ended = int(datetime.datetime.fromisoformat(content["created"]).timestamp() * 1000)
    created = client.create_run(experiment, start_time=ended, tags=tags(content, run_id))
    mlflow_id: str = created.info.run_id
    values = [Param(name, text) for name, text in parameters(content).items()]
    for start in range(0, len(values), _PARAMETERS_AT_ONCE):
        client.log_batch(mlflow_id, params=values[start : start + _PARAMETERS_AT_ONCE])
    numbers = [Metric(name, value, ended, 0) for name, value in metrics(content).items()]
    numbers += [Metric(name, value, ended, epoch) for name, value, epoch in curves(content)]
    for start in range(0, len(numbers), _AT_ONCE):
        client.log_batch(mlflow_id, metrics=numbers[start : start + _AT_ONCE])
    for file in _files(report):
        client.log_artifact(mlflow_id, str(file), _REPORTS)
    if model and description:
        with tempfile.TemporaryDirectory(prefix="covers-mlflow-") as scratch:
            folder = Path(scratch) / _MODEL
            _write_model(folder, model, description, mlflow_id)
            client.log_artifacts(mlflow_id, str(folder), _MODEL)
    client.set_terminated(mlflow_id, _FINISHED, int(time.time() * 1000))
    return mlflow_id


def _files(report: Path) -> Iterator[Path]:
    """Yields the report and what ReportGen wrote beside it."""
    yield report
    page = report.with_suffix(Path(REPORT_PAGE).suffix)
    if page.is_file():
        yield page
    if page.name == REPORT_PAGE:
        yield from sorted(report.parent.glob("*.csv"))


def _describe(model: Path) -> ModelDescription:
    try:
        return read_model_description(model)
    except DeploymentError as error:
        raise DamagedArtifact(str(error)) from error


def _write_model(folder: Path, model: Path, description: ModelDescription, mlflow_id: str) -> None:
    """Writes a SavedModel with its signature as MLflow keeps models."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, IMAGE_BYTES)]),
        outputs=Schema(
            [
                ColSpec(Array(DataType.double), PROBABILITIES),
                ColSpec(Array(DataType.boolean), DECISIONS),
            ]
        ),
    )
    mlflow.pyfunc.save_model(
        folder,
        loader_module=_LOADER.stem,
        data_path=str(model),
        code_paths=[str(_LOADER)],
        signature=signature,
        mlflow_model=Model(artifact_path=_MODEL, run_id=mlflow_id),
        pip_requirements=[f"tensorflow=={description.versions['tensorflow']}", "pandas"]
        if "tensorflow" in description.versions
        else ["tensorflow", "pandas"],
        metadata={
            "genres": list(description.genres),
            "thresholds": list(description.thresholds),
            "recipe": description.recipe,
        },
    )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Gives MLflow its settings, where the environment has none, for as long as it is used."""
    added = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    logger = logging.getLogger("mlflow")
    level = logger.level
    os.environ.update(added)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def _shown(store: str) -> str:
    """Returns a place as it may be shown: of a URL the scheme and host, of a folder the path."""
    parts = urlsplit(store)
    if parts.scheme == "file":
        return parts.path
    if not is_url(store):
        return store
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _without_secret(text: str, store: str) -> str:
    secret, at, _ = urlsplit(store).netloc.rpartition("@")
    return shortened(text.replace(secret + at, "") if at else text)
