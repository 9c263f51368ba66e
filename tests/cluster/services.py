"""What the driver and the launcher of Kubeflow Pipelines talk to, on this machine.

ML Metadata is the real one, the library that TFX brings along, behind its own gRPC service. The two
calls of the API server that look up and fill the cache (backend/api/v1beta1/task.proto), and the
Kubernetes API as far as ConfigMaps, Secrets and pods are read from it, are stand-ins.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store
from ml_metadata.proto import metadata_store_pb2

HOST = "127.0.0.1"
NAMESPACE = "covers"

_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_LARGEST_MESSAGE = 64 * 2**20

Objects = Mapping[tuple[str, str], Mapping[str, Any]]
"""(kind in plural, name) -> Kubernetes object."""


@contextlib.contextmanager
def grpc_services(folder: Path) -> Iterator[int]:
    """Serves ML Metadata and the cache; yields the port.

    Args:
        folder: keeps ML Metadata's database; the cache lasts as long as the server.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_workers=4),
        options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE)],
    )
    server.add_generic_rpc_handlers((MlMetadata(folder / "metadata.sqlite"), Cache()))
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


class MlMetadata(grpc.GenericRpcHandler):
    """ml_metadata.MetadataStoreService over the C++ library, message by message."""

    def __init__(self, database: Path) -> None:
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(database)
        config.sqlite.connection_mode = 3  # READWRITE_OPENCREATE
        options = metadata_store_pb2.MigrationOptions()
        self._store = metadata_store.CreateMetadataStore(
            config.SerializeToString(), options.SerializeToString()
        )
        self._lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        _, service, method = details.method.split("/")
        if service != "ml_metadata.MetadataStoreService":
            return None
        call = getattr(metadata_store, method)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            with self._lock:
                response, message, code = call(self._store, request)
            if code:
                context.abort(_STATUS[code], message.decode())
            return response

        return grpc.unary_unary_rpc_method_handler(answer)


class Cache(grpc.GenericRpcHandler):
    """api.TaskService: fingerprint -> the execution that has the outputs."""

    def __init__(self) -> None:
        self._tasks: list[Any] = []
        self._messages = _task_messages()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        answer = {
            "/api.TaskService/CreateTaskV1": self._create,
            "/api.TaskService/ListTasksV1": self._list,
        }.get(details.method)
        return answer and grpc.unary_unary_rpc_method_handler(answer)

    def _create(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        task = self._messages["CreateTaskRequest"].FromString(request).task
        task.id = str(len(self._tasks) + 1)
        self._tasks.append(task)
        return task.SerializeToString()

    def _list(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        asked = self._messages["ListTasksRequest"].FromString(request)
        predicates = json.loads(asked.filter)["predicates"]
        found = [
            task
            for task in reversed(self._tasks)  # sortBy is "created_at desc"
            if all(getattr(task, one["key"]) == one["stringValue"] for one in predicates)
        ]
        tasks = found[: asked.page_size]
        return self._messages["ListTasksResponse"](tasks=tasks).SerializeToString()


def _task_messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    fields: dict[str, list[tuple[str, int, Any, str]]] = {
        "Task": [
            ("id", 1, field.TYPE_STRING, ""),
            ("namespace", 2, field.TYPE_STRING, ""),
            ("pipelineName", 3, field.TYPE_STRING, ""),
            ("runId", 4, field.TYPE_STRING, ""),
            ("mlmdExecutionID", 5, field.TYPE_STRING, ""),
            # Timestamps, which nothing here reads.
            ("created_at", 6, field.TYPE_BYTES, ""),
            ("finished_at", 7, field.TYPE_BYTES, ""),
            ("fingerprint", 8, field.TYPE_STRING, ""),
        ],
        "CreateTaskRequest": [("task", 1, field.TYPE_MESSAGE, ".api.Task")],
        "ListTasksRequest": [
            ("page_size", 2, field.TYPE_INT32, ""),
            ("sort_by", 3, field.TYPE_STRING, ""),
            ("filter", 5, field.TYPE_STRING, ""),
        ],
        "ListTasksResponse": [("tasks", 1, field.TYPE_MESSAGE, ".api.Task")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="task.proto", package="api", syntax="proto3")
    for message, members in fields.items():
        described = file.message_type.add(name=message)
        for name, number, kind, type_name in members:
            repeated = (message, name) == ("ListTasksResponse", "tasks")
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            member = described.field.add(name=name, number=number, type=kind, label=label)
            if type_name:
                member.type_name = type_name
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    # protobuf 3 and protobuf 6 have one of the two.
    make = getattr(message_factory, "GetMessageClass", None)
    make = make or message_factory.MessageFactory(pool).GetPrototype
    return {name: make(pool.FindMessageTypeByName(f"api.{name}")) for name in fields}


@contextlib.contextmanager
def kubernetes_api(objects: Objects, service_account: Path) -> Iterator[int]:
    """Serves objects of `NAMESPACE`; yields the port.

    Args:
        objects: what there is; read at each request.
        service_account: filled with what a pod finds in
            /var/run/secrets/kubernetes.io/serviceaccount.
    """
    key_file = service_account.parent / "kubernetes.key"
    service_account.mkdir(parents=True)
    _write_certificate(service_account / "ca.crt", key_file)
    (service_account / "namespace").write_text(NAMESPACE)
    (service_account / "token").write_text("token")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            *_, namespace, kind, name = self.path.partition("?")[0].split("/")
            found = objects.get((kind, name)) if namespace == NAMESPACE else None
            code = 200 if found else 404
            body = json.dumps(found or _not_found(kind, name)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(service_account / "ca.crt", key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    """Returns a ConfigMap."""
    return {**_head("ConfigMap", name), "data": dict(data)}


def secret(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    """Returns a Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {**_head("Secret", name), "type": "Opaque", "data": encoded}


def pod(name: str) -> dict[str, Any]:
    """Returns a pod, as the first attempt of an Argo node."""
    annotations = {"workflows.argoproj.io/node-name": f"{name}.executor(0)"}
    return _head("Pod", name, annotations)


def _head(kind: str, name: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def _not_found(kind: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": "NotFound",
        "message": f'{kind} "{name}" not found',
        "details": {"name": name, "kind": kind},
        "code": 404,
    }


def _write_certificate(certificate_file: Path, key_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key_file.write_bytes(private)
