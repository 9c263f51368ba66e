"""ExampleValidator: TFX's, with drift between spans."""

from tfx.components.example_validator import component
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec

from components.example_validator.executor import Executor


class ExampleValidator(component.ExampleValidator):
    """Validates statistics against the schema, and a new span against the one before it.

    Its `anomalies` have a split for each split of the statistics and, for data in spans, the split
    `newest_span` with the anomalies of drift.
    """

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
