"""Names and places of the files that TFX's own nodes write below the folder of an artifact.

TFX has helpers for them that take artifacts; these take paths, and import nothing.
"""

from __future__ import annotations

from pathlib import Path

STATISTICS_FILE = "FeatureStats.pb"
ANOMALIES_FILE = "SchemaDiff.pb"
SAVED_MODEL_FILE = "saved_model.pb"
TUNER_RESULTS_FILE = "tuner_results.json"
COMPRESSED_SUFFIX = ".gz"
"""At the end of the names of TFRecord files that are gzipped."""

_SPLIT = "Split-"
_SERVING = "Format-Serving"


def split_folder(artifact: Path | str, split: str) -> Path:
    """Returns where an artifact that has splits keeps one of them."""
    return Path(artifact) / f"{_SPLIT}{split}"


def split_pattern(artifact: Path | str, split: str) -> str:
    """Returns the file pattern of a split's TFRecord files."""
    return str(split_folder(artifact, split) / "*")


def files_by_split(artifact: Path | str, name: str) -> dict[str, Path]:
    """Returns split -> the file of that name, for the splits that have one, by name."""
    found = sorted(Path(artifact).glob(f"{_SPLIT}*/{name}"))
    return {path.parent.name.removeprefix(_SPLIT): path for path in found}


def serving_model(artifact: Path | str) -> Path:
    """Returns where a Model artifact keeps the SavedModel."""
    return Path(artifact) / _SERVING


REPORT_PAGE = "report.html"
"""The page in ReportGen's artifact."""

REPORT_DATA = "report.json"
"""Its machine-readable twin, beside it."""
