"""Artifact types of our own, and the files inside them."""

from tfx.types.artifact import Artifact


class Quarantine(Artifact):
    """The rows that could not become examples, and the account of all rows given.

    Holds `quarantine.jsonl`, one record a row, and `summary.json`, an `IngestSummary`.
    """

    TYPE_NAME = "Quarantine"
