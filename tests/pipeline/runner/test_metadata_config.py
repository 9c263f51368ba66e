from __future__ import annotations

import pytest

from components.support.errors import ConfigError
from pipeline.config import PipelineConfig, load_config
from pipeline.runner.metadata_config import MetadataConfig, MySqlConfig

SERVER = "host: db.example.com, database: covers, user: covers"
SECRET = "not-for-your-eyes"


def _load(metadata: str) -> PipelineConfig:
    return load_config("sample", [f"metadata={metadata}"])


@pytest.mark.parametrize("metadata", ["sqlite", "{}", "{mysql: null}"])
def test_sqlite_is_the_default(metadata: str) -> None:
    assert _load(metadata).metadata == load_config("sample").metadata == MetadataConfig()


def test_a_server_has_defaults() -> None:
    assert _load(f"{{mysql: {{{SERVER}}}}}").metadata.mysql == MySqlConfig(
        host="db.example.com",
        port=3306,
        database="covers",
        user="covers",
        password_variable="COVERS_METADATA_PASSWORD",
    )


def test_a_configuration_is_read_as_it_was_dumped() -> None:
    config = _load(f"{{mysql: {{{SERVER}}}}}")
    assert PipelineConfig.from_json(config.model_dump_json(by_alias=True)) == config


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("postgresql", "metadata: Expected sqlite, or a mapping with the server's options under"),
        ("{postgresql: {host: h}}", "Received: postgresql, on which ML Metadata 1.16 and 1.21"),
        ("mongodb", "metadata: Expected sqlite, or a mapping"),
        ("5", "metadata: Expected sqlite, or a mapping"),
        ("{mysq: {}}", "metadata.mysq: Expected a known option. Received: 'mysq'."),
        ("{mysql: {host: h}}", "metadata.mysql.user: Expected a value. Received: none."),
        (f"{{mysql: {{{SERVER}, port: 0}}}}", "metadata.mysql.port: Expected a value greater"),
    ],
)
def test_what_is_wrong_is_named(metadata: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(metadata)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        f"mysql://covers:{SECRET}@db.example.com/covers",
        f"{{mysql: 'mysql://covers:{SECRET}@db.example.com/covers'}}",
        f"{{mysql: {{host: 'covers:{SECRET}@db.example.com', database: covers, user: covers}}}}",
        f"{{mysql: {{{SERVER}, password: {SECRET}}}}}",
    ],
)
def test_a_password_in_the_configuration_is_refused_and_not_repeated(metadata: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(metadata)
    message = str(caught.value)
    assert "metadata" in message
    assert SECRET not in message
