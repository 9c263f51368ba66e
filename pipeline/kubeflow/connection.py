"""The API of one installation of Kubeflow Pipelines, through kfp's client."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.support.errors import ConfigError, DeploymentError
from pipeline.kubeflow.names import NAMESPACE

_EQUALS = 1  # kfp's number of the filter operation
_PAGE_SIZE = 100
_LOG_SECONDS = 30
_PASSING = (429, 500, 502, 503, 504)


class NoAnswer(DeploymentError):
    """The API did not answer, or not now: asked again, it may."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where the API is, and how to authenticate.

    Attributes:
        host: URL of the API; None leaves it to kfp: its environment variables, then the cluster
            of the current Kubernetes context.
        token: bearer token.
        namespace: the profile's namespace, in a multi-user installation.
        ca_certificate: file with the certificate authority of the host.

    Raises:
        ConfigError: the namespace has a name that no namespace can have.
    """

    host: str | None = None
    token: str | None = None
    namespace: str | None = None
    ca_certificate: str | None = None

    def __post_init__(self) -> None:
        if self.namespace:
            NAMESPACE.check(self.namespace)

    @property
    def url(self) -> str:
        """URL of the installation without a slash at the end; empty if no host was given."""
        host = self.host or ""
        return (host if "://" in host or not host else f"https://{host}").rstrip("/")


class Api:
    """Talks to one installation.

    Raises:
        ConfigError: the kfp package is not installed.
        DeploymentError: the API cannot be reached or refuses.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        kfp_client = _kfp()
        with self._errors(), _quiet():
            self._client = kfp_client.Client(
                host=connection.host,
                existing_token=connection.token,
                ssl_ca_cert=connection.ca_certificate,
            )

    @contextlib.contextmanager
    def request(self) -> Iterator[Any]:
        """Lends kfp's client for a request.

        Raises:
            NoAnswer: it was not answered.
            DeploymentError: it was refused.
        """
        with self._errors(), _quiet():
            yield self._client

    def every(
        self, method: Callable[..., Any], field: str, *, where: tuple[str, str] | None = None
    ) -> Iterator[Any]:
        """Yields what one of the client's `list_` methods lists, page by page.

        Args:
            method: takes the client and the arguments of the request.
            field: of the response, with the list.
            where: a field of the items and the value that it must have.

        Raises:
            DeploymentError: as `request` does.
        """
        predicate = where and {"operation": _EQUALS, "key": where[0], "stringValue": where[1]}
        only = json.dumps({"predicates": [predicate]}) if predicate else None
        token = ""
        while True:
            with self.request() as client:
                page = method(client, page_token=token, page_size=_PAGE_SIZE, filter=only)
            yield from getattr(page, field) or ()
            token = page.next_page_token
            if not token:
                return

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """Returns what the host has at a path that is not of the API proper, such as a log.

        Raises:
            DeploymentError: as `request` does.
        """
        with self.request() as client:
            response = client.runs.api_client.call_api(
                path,
                "GET",
                query_params=list(query.items()),
                auth_settings=["Bearer"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=_LOG_SECONDS,
            )
            return bytes(response.data).decode("utf-8", "replace")

    def page(self, path: str) -> str:
        """Returns the URL of a page of the user interface; its path if no host was given."""
        return f"{self.connection.url}/#/{path}"

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        where = self.connection.host or "the API of Kubeflow Pipelines"
        try:
            yield
        except ApiException as error:
            kind = NoAnswer if error.status in _PASSING else DeploymentError
            raise kind(
                f"Expected {where} to accept the request. Received: {error.status} {error.reason}: "
                f"{_message(error.body)}{_HINTS.get(error.status, '')}"
            ) from error
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            raise NoAnswer(
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


def _message(body: Any) -> str:
    try:
        fields = json.loads(body)
        return str(fields.get("message") or fields.get("error_message") or fields)
    except (TypeError, ValueError, AttributeError):
        return str(body).strip()[:500]
