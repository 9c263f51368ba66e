"""Tells caches which version is the baseline, before they decide whether to look it up again."""

from __future__ import annotations

from tfx.dsl.components.base import base_driver
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils

from components.baseline_model.find import baseline_of
from components.contracts import nodes


class BaselineModelDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Makes the version, or an empty string, part of the cache key.

    A runner without drivers must not cache the node, unless it passes the version by itself: on
    Kubeflow Pipelines the task `BaselineVersion` does.
    """

    def __init__(self, metadata_handle: object) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns `expected_version` as an execution property."""
        candidate = artifact_utils.get_single_uri(execution_info.input_dict[nodes.CANDIDATE])
        found = baseline_of(candidate, execution_info.exec_properties["push_destination"])
        output = driver_output_pb2.DriverOutput()
        version = found.location if found else ""
        output.exec_properties[nodes.EXPECTED_VERSION].string_value = version
        return output
