"""Writes messages.json: the messages of which a package consists, from two packages of kfp.

    python tests/kubeflow/make_messages.py WHEEL_OF_KFP_PIPELINE_SPEC WHEEL_OF_KFP_KUBERNETES

Neither package is among the locked ones: kfp-kubernetes has no release that fits them, and the
back end knows more fields than the kfp that fits.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2, json_format, struct_pb2
from google.rpc import status_pb2

TARGET = Path(__file__).with_name("messages.json")
_LIBRARY = (any_pb2, struct_pb2, duration_pb2, status_pb2)


def main(*wheels: str) -> None:
    """Writes the file descriptors that the generated modules in the wheels hold."""
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for module in _LIBRARY
    ]
    names = {file.name for file in files}
    for wheel in wheels:
        for data in _serialized(Path(wheel)):
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            if file.name not in names:
                names.add(file.name)
                files.append(file)
    sources = {"wheels": [Path(wheel).name for wheel in wheels]}
    messages = [json_format.MessageToDict(file) for file in files]
    TARGET.write_text(json.dumps({**sources, "files": messages}) + "\n")


def _serialized(wheel: Path) -> list[bytes]:
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist(), reverse=True):
            if name.endswith("_pb2.py"):
                for node in ast.walk(ast.parse(archive.read(name))):
                    if isinstance(node, ast.Call) and _called(node) == "AddSerializedFile":
                        found.append(ast.literal_eval(node.args[0]))
    return found


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


if __name__ == "__main__":
    main(*sys.argv[1:])
