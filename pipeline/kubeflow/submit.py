"""Runs, uploads and schedules a compiled package through the API of Kubeflow Pipelines."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from components.support.errors import ConfigError, DeploymentError
from pipeline.kubeflow.package import CompiledPackage

_EQUALS = 1  # kfp's number of the filter operation


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where the API is, and how to authenticate.

    Attributes:
        host: URL of the API; None leaves it to kfp: its environment variables, then the cluster
            of the current Kubernetes context.
        token: bearer token.
        namespace: the profile's namespace, in a multi-user installation.
        ca_certificate: file with the certificate authority of the host.
    """

    host: str | None = None
    token: str | None = None
    namespace: str | None = None
    ca_certificate: str | None = None


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How runs are made.

    Attributes:
        parameters: parameter -> value.
        experiment: its name; created if it does not exist.
        pipeline_root: where artifacts are stored; None takes the package's or the installation's.
        service_account: of the pods; None takes the installation's.
    """

    parameters: Mapping[str, str]
    experiment: str
    pipeline_root: str | None = None
    service_account: str | None = None


class Submitter:
    """Talks to one installation.

    Raises:
        ConfigError: the kfp package is not installed.
        DeploymentError: the API cannot be reached or refuses.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        kfp_client = _kfp()
        with self._errors(), _quiet():
            self._client = kfp_client.Client(
                host=connection.host,
                existing_token=connection.token,
                ssl_ca_cert=connection.ca_certificate,
            )

    def submit(self, package: CompiledPackage, name: str | None, options: RunOptions) -> str:
        """Starts a run; returns its id."""
        with self._errors(), _quiet():
            run = self._client.create_run_from_pipeline_package(
                str(package.path),
                arguments=dict(options.parameters),
                run_name=name or _numbered(package.name),
                experiment_name=options.experiment,
                namespace=self._connection.namespace,
                pipeline_root=options.pipeline_root,
                # None: what the package says for each task applies. A value would override it.
                enable_caching=None,
                service_account=options.service_account,
            )
        return str(run.run_id)

    def wait(self, run_id: str, timeout: datetime.timedelta) -> None:
        """Waits for the end of a run.

        Raises:
            DeploymentError: it did not succeed, or not in time.
        """
        try:
            with self._errors(), _quiet():
                run = self._client.wait_for_run_completion(run_id, timeout.total_seconds())
        except TimeoutError as error:
            raise DeploymentError(
                f"Expected run {run_id} to end within {timeout}. Received: it is still running."
            ) from error
        if run.state != "SUCCEEDED":
            raise DeploymentError(
                f"Expected run {run_id} to succeed. Received: {run.state}. The last lines of the "
                f"failed task's log say why: {self.run_url(run_id)}"
            )

    def upload(
        self, package: CompiledPackage, name: str, version: str | None, description: str | None
    ) -> tuple[str, str]:
        """Uploads a pipeline, or a new version if there is one of this name.

        Args:
            package: what to upload.
            name: of the pipeline.
            version: its name; None makes one from the time.
            description: shown with the version.

        Returns:
            The ids of the pipeline and of the version.
        """
        with self._errors(), _quiet():
            pipeline_id = self._pipeline_id(name)
            if pipeline_id is None:
                created = self._client.upload_pipeline(
                    str(package.path), name, description, self._connection.namespace
                )
                pipeline_id = str(created.pipeline_id)
                if version is None:  # the first version, which has the pipeline's name
                    versions = self._client.list_pipeline_versions(pipeline_id).pipeline_versions
                    return pipeline_id, str(versions[0].pipeline_version_id)
            uploaded = self._client.upload_pipeline_version(
                str(package.path),
                version or _numbered(name),
                pipeline_id=pipeline_id,
                description=description,
            )
        return pipeline_id, str(uploaded.pipeline_version_id)

    def schedule(
        self,
        pipeline: tuple[str, str],
        name: str,
        options: RunOptions,
        *,
        cron: str | None,
        interval: datetime.timedelta | None,
        max_concurrency: int = 1,
        catch_up: bool = False,
    ) -> str:
        """Creates a recurring run of an uploaded version; returns its id.

        Args:
            pipeline: ids of the pipeline and of its version.
            name: of the recurring run.
            options: how the runs are made.
            cron: six fields, seconds first; or None.
            interval: time between the starts; or None.
            max_concurrency: most runs at the same time.
            catch_up: make up for runs that were due while the schedule was off.
        """
        with self._errors(), _quiet():
            experiment = self._client.create_experiment(
                options.experiment, namespace=self._connection.namespace
            )
            recurring = self._client.create_recurring_run(
                experiment.experiment_id,
                name,
                cron_expression=cron,
                interval_second=interval and int(interval.total_seconds()),
                max_concurrency=max_concurrency,
                no_catchup=not catch_up,
                params=dict(options.parameters),
                pipeline_id=pipeline[0],
                version_id=pipeline[1],
                pipeline_root=options.pipeline_root,
                enable_caching=None,
                service_account=options.service_account,
            )
        return str(recurring.recurring_run_id)

    def run_url(self, run_id: str) -> str:
        """Returns the page of a run."""
        return f"{self._url}/#/runs/details/{run_id}"

    def schedule_url(self, recurring_run_id: str) -> str:
        """Returns the page of a recurring run."""
        return f"{self._url}/#/recurringrun/details/{recurring_run_id}"

    def pipeline_url(self, pipeline_id: str, version_id: str) -> str:
        """Returns the page of an uploaded version."""
        return f"{self._url}/#/pipelines/details/{pipeline_id}/version/{version_id}"

    @property
    def _url(self) -> str:
        host = self._connection.host or ""
        return (host if "://" in host or not host else f"https://{host}").rstrip("/")

    def _pipeline_id(self, name: str) -> str | None:
        predicate = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
        found = self._client.list_pipelines(
            namespace=self._connection.namespace, filter=json.dumps({"predicates": [predicate]})
        )
        return str(found.pipelines[0].pipeline_id) if found.pipelines else None

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        where = self._connection.host or "the API of Kubeflow Pipelines"
        try:
            yield
        except ApiException as error:
            raise DeploymentError(
                f"Expected {where} to accept the request. Received: {error.status} {error.reason}: "
                f"{_message(error.body)}{_HINTS.get(error.status, '')}"
            ) from error
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise DeploymentError(
                f"Expected to reach {where}. Received: {type(error).__name__}: {error}. Give its "
                "URL with --host; for a cluster without an external address, forward a port: "
                "kubectl port-forward -n kubeflow service/ml-pipeline-ui 8080:80."
            ) from error


_HINTS = {
    401: " Give a token with --token or in KFP_TOKEN.",
    403: " The token's owner is not allowed to do this: check --namespace and the role.",
}


def _kfp() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kfp.client

            return kfp.client
    except ImportError as error:
        raise ConfigError(
            "Expected the package kfp, which talks to Kubeflow Pipelines. Received: none. `pip "
            "install 'covers[kubeflow]'` installs it below Python 3.12; otherwise `make kfp` makes "
            ".venv-kfp, an environment for these commands alone."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The client prints links as it goes; `covers` prints what matters once."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _numbered(name: str) -> str:
    return f"{name} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}"


def _message(body: Any) -> str:
    try:
        fields = json.loads(body)
        return str(fields.get("message") or fields.get("error_message") or fields)
    except (TypeError, ValueError, AttributeError):
        return str(body).strip()[:500]
