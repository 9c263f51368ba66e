"""Keys and passwords never reach logs, metadata, reports or packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.support.credentials import has_credentials
from components.support.errors import ConfigError, DeploymentError
from components.support.file_systems import open_file_system, store_errors
from pipeline.cli import main
from pipeline.kubeflow.package import CompiledPackage, parameter_values

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
URL = f"s3://AKIAIOSFODNN7EXAMPLE:{SECRET}@bucket/covers"

TINY = """
name: tiny
schema: {schema}
trainer:
  image_size: 48
  epochs: 1
  early_stopping: null
  layers: [GlobalAveragePooling2D]
evaluation:
  gate:
    min_support: 1
    overall: {{macro_roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
    per_genre: {{roc_auc: {{at_least: 0.0, tolerance: 1.0}}}}
"""


@pytest.mark.parametrize(
    ("location", "found"),
    [
        (URL, True),
        ("s3://key:secret@bucket/covers", True),
        ("s3://key@bucket/covers", True),
        ("https://host/covers.csv?X-Amz-Signature=abc", True),
        ("https://host/covers.csv?v=1&token=abc", True),
        (f"simplecache::{URL}", True),
        ("blockcache::zip::s3://key:secret@bucket", True),
        (" s3://key:secret@bucket", True),
        ("--temp_location=s3://key:secret@bucket", True),
        ("--temp_location=s3://bucket/a@b", False),
        ("simplecache::s3://bucket/covers@2", False),
        ("s3://bucket/covers@2/a:b", False),
        ("hdfs://host:8020/covers", False),
        ("https://[::1]:8020/covers", False),
        ("s3://bucket/covers?versionId=7", False),
        ("file:///covers", False),
        ("C:\\covers", False),
        ("covers", False),
    ],
)
def test_what_holds_a_secret(location: str, found: bool) -> None:
    assert has_credentials(location) is found


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--data", URL),
        ("run", "--set", f"data={URL}"),
        ("run", "--config", "{config}"),
        ("init", URL),
        ("diagnose", "--model", "{folder}", "--data", URL),
        ("compile", "--image", "i", "-o", "p.yaml", "--set", f"kubeflow.data={URL}"),
        ("compile", "--image", "i", "-o", "p.yaml", "--set", f"kubeflow.push_destination={URL}"),
        *(
            ("compile", "--image", "i", "-o", "p.yaml", "--set", override)
            for override in (
                f"kubeflow.pipeline_root={URL}",
                f"kubeflow.state={URL}",
                f"kubeflow.all_tasks={{env: {{X: '{URL}'}}}}",
                f"trainer.checkpoint_folder={URL}",
                f"trainer.feature_folder={URL}",
                f"trainer.checkpoint_folder=simplecache::{URL}",
                f"trainer.checkpoint_folder=' {URL}'",
                f"trainer.backbone={{name: EfficientNetB0, weights: '{URL}'}}",
                f"trainer.layers=[{{Dense: '{URL}'}}]",
                f"trainer.layers=[{{'{URL}': {{}}}}]",
                f"tuner={{search_space: {{'{URL}': [1, 2]}}}}",
                f"beam_pipeline_args=['--staging-location={URL}']",
                f"name={URL}",
                f"no_such_option.other={URL}",
                f"={URL}",
                URL,
            )
        ),
    ],
)
def test_a_url_with_a_secret_is_refused_everywhere_and_not_repeated(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "mine.yaml"
    config.write_text(f"name: mine\nschema: schema.pbtxt\ndata: {URL}\n")
    places = {"{config}": str(config), "{folder}": str(tmp_path)}
    given = [places.get(each, each) for each in arguments]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2, result.output
    assert "Expected a URL without a key, password or signature" in result.output
    assert SECRET not in result.output
    config.unlink()
    assert_nowhere(tmp_path)


@pytest.mark.parametrize("option", ["checkpoint_folder", "feature_folder"])
def test_a_file_with_a_secret_in_the_training_options_is_refused_by_name(
    tmp_path: Path, schema_path: Path, option: str
) -> None:
    config = tmp_path / "mine.yaml"
    text = TINY.format(schema=schema_path).replace("epochs: 1", f"{option}: {URL}")
    config.write_text(text)
    arguments = ["compile", "--config", str(config), "--image", "i", "-o", str(tmp_path / "p.yaml")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert f"trainer.{option}: Expected a URL without a key" in result.output
    assert SECRET not in result.output
    assert not (tmp_path / "p.yaml").exists()


def test_the_parameters_of_a_submitted_run_hold_none() -> None:
    package = CompiledPackage(Path("p.yaml"), "p", {"data": {}}, None, {})
    for text in (f"data={URL}", f"dta={URL}"):
        with pytest.raises(ConfigError) as caught:
            parameter_values(package, [text])
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"checkpoint_folder": URL},
        {"feature_folder": URL},
        {"config": {"checkpoint_folder": URL}},
        {"config": {"feature_folder": URL}},
        {"weights_fingerprints": {URL: ""}},
        {"code_fingerprint": URL},
    ],
    ids=str,
)
def test_the_training_parameter_of_a_run_holds_none(fields: dict[str, Any]) -> None:
    package = _package()
    given = {"config": {}, "code_fingerprint": "", **fields}
    with pytest.raises(ConfigError, match="Expected a URL without a key") as caught:
        parameter_values(package, [f"training={json.dumps(given)}"])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    [f"trainer.checkpoint_folder={URL}", f"trainer.layers=[{{Dense: '{URL}'}}]", f"x={URL}", URL],
)
def test_an_overridden_training_option_of_a_run_holds_none(override: str) -> None:
    package = _package({"defaultValue": json.dumps({"config": {}, "code_fingerprint": ""})})
    with pytest.raises(ConfigError, match="Expected a URL without a key") as caught:
        parameter_values(package, [], [override])
    assert SECRET not in str(caught.value)


def _package(training: dict[str, Any] | None = None) -> CompiledPackage:
    return CompiledPackage(Path("p.yaml"), "p", {"training": training or {}}, None, {})


def test_what_a_store_raises_has_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_file_system(URL)
    assert SECRET not in str(caught.value)
    refused = pytest.raises(DeploymentError, match="Expected access to s3://bucket")
    with refused, store_errors("s3://bucket"):
        raise PermissionError("Forbidden")
    assert SECRET not in caplog.text


def assert_nowhere(folder: Path) -> None:
    """Looks into every byte that was written."""
    for file in folder.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file
            assert json.dumps(SECRET).strip('"').encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_a_whole_run_writes_no_secret_of_its_environment(
    tmp_path: Path, schema_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "KFP_TOKEN", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY.format(schema=schema_path))
    arguments = ["run", "--config", "tiny.yaml", "--set", "sample.images=150"]
    result = CliRunner().invoke(main, [*arguments, "--pipeline-root", str(tmp_path / "root")])
    assert result.exit_code in (0, 3, 4), result.output
    assert SECRET not in result.output
    assert list((tmp_path / "root").rglob("*.log"))
    assert list((tmp_path / "root").rglob("report.json"))
    assert_nowhere(tmp_path)
