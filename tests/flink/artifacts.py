"""Compares what two runs of the pipeline left, whatever the order in which workers wrote it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.contracts.files import COMPRESSED_SUFFIX

TOLERANCE = 1e-9


def newest(root: Path, node: str, key: str) -> Path:
    """Returns the folder of a node's latest artifact."""
    folders = [each for each in (root / node / key).iterdir() if each.name.isdigit()]
    return max(folders, key=lambda folder: int(folder.name))


def records(folder: Path) -> dict[str, list[bytes]]:
    """Returns split -> its records, sorted."""
    import tensorflow as tf

    found: dict[str, list[bytes]] = {}
    for file in sorted(folder.glob("Split-*/*")):
        compression = "GZIP" if file.name.endswith(COMPRESSED_SUFFIX) else ""
        read = tf.data.TFRecordDataset([str(file)], compression).as_numpy_iterator()
        found.setdefault(file.parent.name, []).extend(read)
    return {split: sorted(each) for split, each in found.items()}


def statistics(folder: Path) -> dict[str, Any]:
    """Returns split -> its statistics as JSON, features by name."""
    from google.protobuf import json_format
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found = {}
    for file in sorted(folder.glob("Split-*/FeatureStats.pb")):
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
        for dataset in proto.datasets:
            dataset.features.sort(key=lambda feature: tuple(feature.path.step))
        found[file.parent.name] = json_format.MessageToDict(proto)
    return found


def predictions(folder: Path) -> dict[str, Any]:
    """Returns split -> identity -> feature -> values of what BatchInference wrote."""
    import tensorflow as tf

    found: dict[str, Any] = {}
    for split, serialized in records(folder).items():
        for each in serialized:
            features = tf.train.Example.FromString(each).features.feature
            values = {
                name: list(getattr(feature, feature.WhichOneof("kind")).value)
                for name, feature in features.items()
                if feature.WhichOneof("kind")
            }
            found.setdefault(split, {})[values["image/id"][0].hex()] = values
    return found


def read_json(file: Path) -> Any:
    """Returns what a JSON file holds."""
    return json.loads(file.read_text(encoding="utf-8"))


def differences(left: Any, right: Any, place: str = "") -> Iterator[str]:
    """Yields where two values differ, numbers by more than `TOLERANCE`."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            yield f"{place}: {sorted(left.keys() ^ right.keys())} on one side"
        for key in left.keys() & right.keys():
            yield from differences(left[key], right[key], f"{place}/{key}")
    elif isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            yield f"{place}: {len(left)} and {len(right)} values"
        for number, (one, other) in enumerate(zip(left, right, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
    elif isinstance(left, float) and isinstance(right, float):
        both_nan = math.isnan(left) and math.isnan(right)
        if not both_nan and not math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{place}: {left!r} and {right!r}"
    elif left != right:
        yield f"{place}: {left!r} and {right!r}"
