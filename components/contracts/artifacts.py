"""Artifact types of our own, and the files inside them.

Kubeflow Pipelines takes names of the form `group.Name` only; its entrypoint finds the class here.
"""

from tfx.types.artifact import Artifact


class Quarantine(Artifact):
    """The rows that could not become examples, and the account of all rows given.

    Holds `quarantine.jsonl`, one record a row, and `summary.json`, an `IngestSummary`.
    """

    TYPE_NAME = "covers.Quarantine"


class GateDecision(Artifact):
    """What a gate decided of the data, and why.

    Holds `decision.json`, a `Decision`.
    """

    TYPE_NAME = "covers.GateDecision"


class Report(Artifact):
    """The report of a run.

    Holds `report.html`, for people, and `report.json`, the same for machines.
    """

    TYPE_NAME = "covers.Report"
    PAGE = "report.html"
