from __future__ import annotations

from pathlib import Path

import pytest
from tfx.components.example_validator import executor as example_validator
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.contracts import files


def test_the_names_are_those_of_tfx(tmp_path: Path) -> None:
    assert files.STATISTICS_FILE == statistics_gen.DEFAULT_FILE_NAME
    assert files.ANOMALIES_FILE == example_validator.DEFAULT_FILE_NAME
    assert str(files.serving_model(tmp_path)) == path_utils.serving_model_dir(str(tmp_path))


@pytest.mark.parametrize("split", ["train", "newest_span"])
def test_splits_are_where_tfx_puts_them(tmp_path: Path, split: str) -> None:
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path)
    examples.split_names = artifact_utils.encode_split_names([split])
    place = artifact_utils.get_split_uri([examples], split)
    assert str(files.split_folder(tmp_path, split)) == place
    assert files.split_pattern(tmp_path, split) == f"{place}/*"


def test_files_are_found_by_split(tmp_path: Path) -> None:
    for split in ("test", "eval"):
        files.split_folder(tmp_path, split).mkdir()
        (files.split_folder(tmp_path, split) / files.STATISTICS_FILE).touch()
    files.split_folder(tmp_path, "train").mkdir()
    assert files.files_by_split(tmp_path, files.STATISTICS_FILE) == {
        split: tmp_path / f"Split-{split}" / "FeatureStats.pb" for split in ("eval", "test")
    }
