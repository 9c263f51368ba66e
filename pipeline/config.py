"""PipelineConfig: what the pipeline does, typed and validated, from one YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from components.contracts.label_schema import (
    LabelSchema,
    add_slice_features,
    allow_no_genre,
    read_schema,
    set_genres,
)
from components.contracts.mlflow_runs.config import MlflowConfig
from components.contracts.notifications import NotificationsConfig
from components.cover_example_gen.config import IngestConfig
from components.data_gate.config import DataGateConfig
from components.evaluator.config import EvaluationConfig
from components.infra_validator.config import InfraValidatorConfig
from components.support.credentials import without_credentials
from components.support.errors import ConfigError
from components.support.file_systems import is_url
from components.support.options import Options
from components.support.suggestions import did_you_mean
from components.trainer.config import TrainerConfig, TunerConfig
from components.trainer.foundation.config import KINDS
from pipeline.bounded_yaml import read_yaml
from pipeline.configuration_options import DEFAULT_CONFIG_NAME, SHIPPED_CONFIGS, shipped_names
from pipeline.engine.config import BeamArguments, EngineConfig
from pipeline.kubeflow.config import KubeflowConfig, merged
from pipeline.overrides import set_option
from pipeline.runner.metadata_config import MetadataConfig

DEFAULT_CONFIG = SHIPPED_CONFIGS / f"{DEFAULT_CONFIG_NAME}.yaml"

_PATH_KEYS = (
    "schema",
    "data",
    "ingest.relabel",
    "mlflow.tracking_uri",
    "engine.flink.job_server_jar",
)


class SampleConfig(Options):
    """The synthetic covers to generate when no data are given.

    Attributes:
        images: number of covers.
        seed: seed of the generator.
    """

    SECTION = "sample"

    images: int = Field(default=600, ge=1)
    seed: int = 0


class PipelineConfig(Options):
    """What the pipeline does; where it runs is up to the runner.

    Attributes:
        name: name of the pipeline; runs with the same name share caches and the pushed model.
        schema_path: the label schema; `schema` in YAML, relative to the YAML file.
        genres: names that replace the genres of the label schema, in the order of the model's
            outputs; null keeps those. Another schema by `--set schema=FILE` brings its own.
        data: a manifest or a folder, relative to the YAML file; or its URL in an object store.
        sample: what to generate when no data are given.
        ingest: see `IngestConfig`.
        data_gate: see `DataGateConfig`.
        trainer: see `TrainerConfig`.
        tuner: how to search for better options before training; null trains with those given.
        evaluation: see `EvaluationConfig`.
        infra_validator: see `InfraValidatorConfig`.
        engine: what runs the Beam stages; see `EngineConfig`.
        beam_pipeline_args: further arguments of every Beam pipeline, after those of the engine; it
            names the runner, so they may not.
        notifications: who is told how a run ended; see `NotificationsConfig`.
        mlflow: where runs are logged in MLflow, see `MlflowConfig`; null logs none.
        metadata: where runs on this machine are recorded; see `MetadataConfig`.
        kubeflow: see `KubeflowConfig`.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")
    schema_path: Path = Field(alias="schema")
    genres: tuple[str, ...] | None = None
    data: Annotated[Path | str | None, BeforeValidator(without_credentials)] = None
    sample: SampleConfig | None = None
    ingest: IngestConfig = Field(default_factory=IngestConfig)
    data_gate: DataGateConfig = Field(default_factory=DataGateConfig)
    trainer: TrainerConfig = Field(default_factory=TrainerConfig)
    tuner: TunerConfig | None = None
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    infra_validator: InfraValidatorConfig = Field(default_factory=InfraValidatorConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    beam_pipeline_args: BeamArguments = ()
    notifications: NotificationsConfig = Field(default_factory=NotificationsConfig)
    mlflow: MlflowConfig | None = None
    metadata: MetadataConfig = Field(default_factory=MetadataConfig)
    kubeflow: KubeflowConfig = Field(default_factory=KubeflowConfig)

    @property
    def beam_args(self) -> tuple[str, ...]:
        """All arguments of every Beam pipeline."""
        return (*self.engine.beam_args(), *self.beam_pipeline_args)

    def schema_text(self) -> str:
        """Reads the label schema, with `genres` in place and the slice columns described.

        If covers may have no genre, the schema allows that `genres` has no value.

        Raises:
            ConfigError: the file is missing or no label schema, or a genre of `ingest.relabel` is
                not in it.
        """
        text = self._schema_text()
        if self.ingest.relabel:
            self.ingest.relabel.spelled_as_in(LabelSchema.from_text(text))
        return text

    def _schema_text(self) -> str:
        if self.genres is None and not self.ingest.slices and not self.ingest.allow_no_genre:
            LabelSchema.from_file(self.schema_path)
            return self.schema_path.read_text(encoding="utf-8")
        from google.protobuf import text_format

        schema = read_schema(self.schema_path)
        LabelSchema.from_proto(schema, str(self.schema_path))
        if self.genres is not None:
            set_genres(schema, self.genres)
            LabelSchema.from_proto(schema, f"{self.schema_path} with the configuration's genres")
        if self.ingest.allow_no_genre:
            allow_no_genre(schema)
        add_slice_features(schema, self.ingest.slices)
        return str(text_format.MessageToString(schema, as_utf8=True))


def load_config(
    path: Path | str, overrides: Sequence[str] = (), clusters: Sequence[Path] = ()
) -> PipelineConfig:
    """Reads a YAML file and applies `key.subkey=value` overrides.

    Args:
        path: a YAML file, or the name of a shipped configuration (`sample`, `covers`,
            `scratch`, `seed`).
        overrides: values are YAML; paths in overrides are relative to the working directory.
        clusters: YAML files, each of which adds to the options of `kubeflow` and replaces some,
            before the overrides do.

    Raises:
        ConfigError: names each wrong field, what was expected and what was received.
    """
    file = _find(Path(path))
    values = read_mapping(file)
    for key in _PATH_KEYS:
        *sections, name = key.split(".")
        within: Any = values
        for section in sections:
            within = within.get(section) if isinstance(within, dict) else None
        given = within.get(name) if isinstance(within, dict) else None
        if isinstance(given, str) and given and not is_url(given):
            within[name] = (file.parent / given).resolve()
    _resolve_backbones(values, file.parent)
    if clusters:
        values["kubeflow"] = _with_clusters(file, values.get("kubeflow", {}), clusters)
    for override in overrides:
        if override.partition("=")[0].strip() == "schema":
            values.pop("genres", None)
        apply_override(values, override)
    _resolve_backbones(values, Path.cwd())
    return PipelineConfig.from_fields(values, f"a valid pipeline configuration in {file}")


def _resolve_backbones(values: dict[str, Any], folder: Path) -> None:
    """Makes the paths of backbones that are read from files absolute, in place."""
    trainer = values.get("trainer")
    given = trainer.get("backbone") if isinstance(trainer, dict) else None
    backbones = given if isinstance(given, list) else [given]
    for backbone in (each for each in backbones if isinstance(each, dict)):
        for kind in KINDS:
            location = backbone.get(kind)
            if isinstance(location, str) and location and not is_url(location):
                backbone[kind] = str((folder / location).resolve())


def _with_clusters(file: Path, options: Any, clusters: Sequence[Path]) -> dict[str, Any]:
    """Returns a configuration's options of `kubeflow` with those of the clusters' files.

    Raises:
        ConfigError: some are wrong; names the first file with which they are.
    """
    if not isinstance(options, dict):
        KubeflowConfig.from_fields(options, f"valid options of kubeflow in {file}")
    stages: list[dict[str, Any]] = [options]
    for cluster in clusters:
        stages.append(merged(stages[-1], read_mapping(cluster)))
    try:
        KubeflowConfig.from_fields(stages[-1])
    except ConfigError:
        # A file may complete what an earlier one begins, so each is judged only now.
        for source, stage in zip((file, *clusters), stages, strict=True):
            KubeflowConfig.from_fields(stage, f"valid options of kubeflow in {source}")
        raise
    return stages[-1]


def _find(path: Path) -> Path:
    shipped = SHIPPED_CONFIGS / f"{path}.yaml"
    if path.is_file():
        return path.resolve()
    if shipped.is_file():
        return shipped
    names = shipped_names()
    raise ConfigError(
        f"Expected a YAML file at {path}, or one of the shipped configurations "
        f"{', '.join(names)}. Received: no such file.{did_you_mean(path.stem, names)}"
    )


def read_mapping(file: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, is beyond a bound or holds something else.
    """
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise ConfigError(
            f"Expected {file} to hold a mapping of options. Received: {type(values).__name__}."
        )
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets one `key.subkey=value` of a configuration; a relative path is one from here.

    Raises:
        ConfigError: as `set_option` does.
    """
    set_option(values, override, paths=_PATH_KEYS)
