from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from components.contracts.label_schema import GENRES, LabelSchema, parse_schema
from components.support.errors import ConfigError
from pipeline.config import SHIPPED_CONFIGS, load_config


@pytest.mark.parametrize("path", sorted(SHIPPED_CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = load_config(path)
    assert config == load_config(path.stem)
    assert LabelSchema.from_text(config.schema_text()).genres


def test_the_seed_configuration_is_the_original_network() -> None:
    trainer = load_config("seed").trainer
    kinds = [next(iter(layer)) for layer in trainer.layers]
    assert kinds == ["Rescaling", *["Conv2D", "MaxPooling2D"] * 4, "Flatten", "Dense"]
    filters = [layer["Conv2D"]["filters"] for layer in trainer.layers if "Conv2D" in layer]
    assert filters == [32, 64, 128, 128]
    assert [next(iter(layer)) for layer in trainer.augmentation] == [
        "RandomFlip",
        "RandomRotation",
        "RandomZoom",
    ]


def test_overrides_replace_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(
        "sample", ["trainer.epochs=3", "data=covers", "ingest.examples_per_shard=7"]
    )
    assert config.trainer.epochs == 3
    assert config.ingest.examples_per_shard == 7
    assert config.data == tmp_path / "covers"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.epochs=many", r"trainer\.epochs: .*Received: 'many'"),
        (
            "trainer.epoch=3",
            r"trainer\.epoch: Expected a known option\. Received: 'epoch'\. "
            r"Did you mean trainer\.epochs\?",
        ),
        ("epochs=3", r"epochs: .*Did you mean trainer\.epochs\?"),
        ("trainer.early_stopping.patence=3", r"Did you mean trainer\.early_stopping\.patience\?"),
        ("data_gate.drift=ignored", "Expected 'stops' or 'reported'. Received: 'ignored'"),
        ("evaluation.gate.per_genre.auc.at_least=0.5", "Expected metric names"),
        ("epochs", "KEY=VALUE"),
        ("name=Bad Name", "name: "),
    ],
)
def test_a_wrong_value_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("sample", [override])


def test_a_mistyped_shipped_configuration_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"no such file\. Did you mean scratch\?"):
        load_config("scrach")


def test_a_missing_or_broken_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cnn, covers, sample, scratch, seed"):
        load_config(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="YAML"):
        load_config(broken)
    broken.write_text("- a")
    with pytest.raises(ConfigError, match="mapping"):
        load_config(broken)


def test_genres_of_the_configuration_replace_those_of_the_schema(tmp_path: Path) -> None:
    given = LabelSchema.from_text(load_config("sample").schema_text())
    config = load_config("sample", ["genres=[soul, jazz, folk]"])
    replaced = LabelSchema.from_text(config.schema_text())
    assert replaced.genres == ("soul", "jazz", "folk")
    assert replaced == dataclasses.replace(given, genres=replaced.genres)
    with pytest.raises(ConfigError, match=r"with the configuration's genres.*two distinct genres"):
        load_config("sample", ["genres=[soul]"]).schema_text()


def test_genres_in_any_script_stay_readable_in_the_schema() -> None:
    names = ["東京", "हिन्दी", "R&B/Soul", "!!!"]
    text = load_config("sample", [f"genres={names}"]).schema_text()
    assert all(f'"{name}"' in text for name in names)
    assert LabelSchema.from_text(text).genres == tuple(names)


def test_another_schema_brings_its_own_genres(tmp_path: Path) -> None:
    assert load_config("covers").genres == ("country", "electronic", "hiphop", "pop", "rock")
    assert (
        load_config("scratch").genres == load_config("seed").genres == load_config("covers").genres
    )
    mine = tmp_path / "mine.pbtxt"
    mine.write_text(load_config("covers", ["genres=[soul, folk]"]).schema_text())
    named = load_config("covers", [f"schema={mine}"])
    assert named.genres is None
    assert LabelSchema.from_text(named.schema_text()).genres == ("soul", "folk")
    both = load_config("covers", ["genres=[salsa, tango]", f"schema={mine}"])
    assert both.genres is None, "what comes later holds"


def test_the_schema_lets_covers_have_no_genre_if_they_may() -> None:
    def genres(*overrides: str) -> schema_pb2.Feature:
        text = load_config("sample", list(overrides)).schema_text()
        features = parse_schema(text, "the schema").feature
        return next(feature for feature in features if feature.name == GENRES)

    assert genres().presence.min_fraction == 1.0
    for overrides in ([], ["genres=[soul, folk]"]):
        relaxed = genres("ingest.allow_no_genre=true", *overrides)
        assert not relaxed.HasField("presence")
        assert relaxed.value_count.min == 0


def test_decisions_about_labels_are_read_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "decided.csv").write_text("cover,genre,decision\n1.jpg,Pop,add\n")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    schema = load_config("sample").schema_path
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"name: mine\nschema: {schema}\ningest: {{relabel: decided.csv}}\n")
    config = load_config(mine)
    assert config.ingest.relabel is not None
    assert config.ingest.relabel.file == "decided.csv"
    assert config.ingest.relabel.decisions == ((2, "1.jpg", "Pop", "add"),)
    assert load_config("sample", ["ingest.relabel=../decided.csv"]).ingest == config.ingest
    assert load_config(mine, ["ingest.relabel=null"]).ingest.relabel is None
    with pytest.raises(ConfigError, match=r"at ingest\.relabel\. Received: .*No such file"):
        load_config(mine, ["ingest.relabel=decided.csv"])
    with pytest.raises(ConfigError, match=r"line 2\. Received: 'Pop'"):
        load_config(mine, ["genres=[soul, jazz]"]).schema_text()


def test_paths_of_backbones_are_relative_to_the_file_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    file = tmp_path / "there" / "own.yaml"
    monkeypatch.chdir(tmp_path)
    beginning = "name: own\nschema: schema.pbtxt\ntrainer:\n  backbone:"
    file.write_text(f"{beginning} {{saved_model: encoder}}\n")
    (one,) = load_config(file).trainer.backbone
    assert one.file == str(tmp_path / "there" / "encoder")
    file.write_text(f"{beginning}\n  - {{keras: ../a.keras}}\n  - {{keras_hub: 's3://bucket/b'}}\n")
    locations = [each.file for each in load_config(file).trainer.backbone]
    assert locations == [str(tmp_path / "a.keras"), "s3://bucket/b"]
    (given,) = load_config(file, ["trainer.backbone={keras_hub: preset}"]).trainer.backbone
    assert given.file == str(tmp_path / "preset")
