"""Tells caches where the model belongs, before they decide whether it has been pushed."""

from __future__ import annotations

from tfx.dsl.components.base import base_driver
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2

from components.pusher.target import target_of

TARGET = "target"


class PusherDriver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Makes the version's location, or an empty text, part of the cache key.

    As long as the version that a run pushed is the newest at the destination, the location is what
    it was for that run. Once it has been deleted, or another has been pushed, it is a new one.

    A runner without drivers must not cache the node: Kubeflow Pipelines does not.
    """

    def __init__(self, metadata_handle: object) -> None:
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Returns `target` as an execution property."""
        destination = execution_info.exec_properties["push_destination"]
        target = target_of(execution_info.input_dict, destination)
        output = driver_output_pb2.DriverOutput()
        output.exec_properties[TARGET].string_value = target.location if target else ""
        return output
