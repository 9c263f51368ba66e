"""Runs and uploads a compiled package through the API of Kubeflow Pipelines."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from pipeline.kubeflow.connection import Api
from pipeline.kubeflow.names import PIPELINE, SERVICE_ACCOUNT, check_version, version_at
from pipeline.kubeflow.package import CompiledPackage


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """How runs are made.

    Attributes:
        parameters: parameter -> value.
        experiment: its name; created if it does not exist.
        pipeline_root: where artifacts are stored; None takes the package's or the installation's.
        service_account: of the pods; None takes the installation's.

    Raises:
        ConfigError: the service account has a name that none can have.
    """

    parameters: Mapping[str, str]
    experiment: str
    pipeline_root: str | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if self.service_account:
            SERVICE_ACCOUNT.check(self.service_account)


def submit(api: Api, package: CompiledPackage, name: str | None, options: RunOptions) -> str:
    """Starts a run; returns its id.

    Raises:
        DeploymentError: the API cannot be reached or refuses.
    """
    with api.request() as client:
        run = client.create_run_from_pipeline_package(
            str(package.path),
            arguments=dict(options.parameters),
            run_name=name or f"{package.name} {datetime.datetime.now():%Y-%m-%d %H:%M:%S}",
            experiment_name=options.experiment,
            namespace=api.connection.namespace,
            pipeline_root=options.pipeline_root,
            # None: what the package says for each task applies. A value would override it.
            enable_caching=None,
            service_account=options.service_account,
        )
    return str(run.run_id)


def upload(
    api: Api,
    package: CompiledPackage,
    name: str,
    version: str | None = None,
    description: str | None = None,
) -> tuple[str, str]:
    """Uploads a pipeline, or a new version if there is one of this name.

    Args:
        api: where to.
        package: what to upload.
        name: of the pipeline.
        version: its name; None makes one from the pipeline's name and the time.
        description: shown with the version.

    Returns:
        The ids of the pipeline and of the version.

    Raises:
        ConfigError: a name is not one that Kubernetes takes; nothing was sent.
        DeploymentError: the API cannot be reached or refuses.
    """
    check_names(name, version)
    found = pipeline_id(api, name)
    with api.request() as client:
        if found is None:
            created = client.upload_pipeline(
                str(package.path), name, description, api.connection.namespace
            )
            found = str(created.pipeline_id)
            if version is None:  # the first version, which has the pipeline's name
                versions = client.list_pipeline_versions(found).pipeline_versions
                return found, str(versions[0].pipeline_version_id)
        uploaded = client.upload_pipeline_version(
            str(package.path),
            version or version_at(name, datetime.datetime.now(datetime.timezone.utc)),
            pipeline_id=found,
            description=description,
        )
    return found, str(uploaded.pipeline_version_id)


def check_names(name: str, version: str | None) -> None:
    """Raises unless a pipeline and a version of it can have these names.

    Raises:
        ConfigError: suggests a name.
    """
    PIPELINE.check(name)
    if version is not None:
        check_version(name, version)


def pipeline_id(api: Api, name: str) -> str | None:
    """Returns the id of the pipeline of a name; None if there is none.

    Raises:
        DeploymentError: the API cannot be reached or refuses.
    """
    found = api.every(
        lambda client, **page: client.list_pipelines(namespace=api.connection.namespace, **page),
        "pipelines",
        where=("display_name", name),
    )
    return next((str(pipeline.pipeline_id) for pipeline in found), None)
