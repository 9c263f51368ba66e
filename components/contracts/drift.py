"""Drift: how far the distributions of features are from what they were, by TFDV's comparators.

ExampleValidator compares a new span with the last one, `covers drift` what a server answered with
what its model was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2


def find_drift(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    previous: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
) -> anomalies_pb2.Anomalies:
    """Compares statistics with earlier ones by the schema's `drift_comparator`s, and nothing else.

    The distances of all compared features are in `drift_skew_info`, whether too large or not.
    """
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import schema_pb2

    comparators = schema_pb2.Schema()
    for feature in schema.feature:
        if feature.HasField("drift_comparator"):
            compared = comparators.feature.add(name=feature.name, type=feature.type)
            compared.drift_comparator.CopyFrom(feature.drift_comparator)
    for other in {f.name for f in schema.feature} - {f.name for f in comparators.feature}:
        comparators.feature.add(name=other, lifecycle_stage=schema_pb2.DEPRECATED)
    return tfdv.validate_statistics(statistics, comparators, previous_statistics=previous)


def distances(anomalies: anomalies_pb2.Anomalies) -> dict[str, float]:
    """Returns feature -> its distance, for all that were compared."""
    return {
        ".".join(info.path.step): max(measured.value for measured in info.drift_measurements)
        for info in anomalies.drift_skew_info
        if info.drift_measurements
    }
