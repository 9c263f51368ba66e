"""The project's own artifact types, and the files inside them.

Kubeflow Pipelines accepts only names of the form `group.Name`; its entrypoint finds the class here.
"""

from tfx.types.artifact import Artifact

from components.contracts.files import REPORT_PAGE


class Quarantine(Artifact):
    """The rows that could not become examples, and the counts of all rows given.

    Holds `quarantine.jsonl`, one record per row, and `summary.json`, an `IngestSummary`.
    """

    TYPE_NAME = "covers.Quarantine"


class GateDecision(Artifact):
    """What a gate decided about the data, and why.

    Holds `decision.json`, a `Decision`.
    """

    TYPE_NAME = "covers.GateDecision"


class Report(Artifact):
    """The report of a run.

    Holds `report.html`, for people, and `report.json`, its machine-readable twin.
    """

    TYPE_NAME = "covers.Report"
    PAGE = REPORT_PAGE
