"""The pipeline: covers and labels in, an evaluated and, if it deserves it, pushed model out."""

from __future__ import annotations

import dataclasses

import tensorflow_data_validation as tfdv
from tfx.components import Evaluator, ExampleValidator, Pusher, StatisticsGen, Trainer
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2

from components.baseline_model.component import BaselineModel
from components.cover_example_gen.component import CoverExampleGen
from components.data_gate.component import DataGate
from components.evaluator.eval_config import make_eval_config
from components.label_schema import PROFILED_FEATURES, TEST_SPLIT, LabelSchema
from pipeline.config import PipelineConfig

RUN_FN = "components.trainer.run.run_fn"


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What a runner finds out just before a run, and where the run happens.

    Attributes:
        pipeline_root: where artifacts land.
        push_destination: folder of the pushed model versions.
        data: the CSV manifest or folder to ingest.
        schema_path: a copy of the label schema at a path that changes with its content.
        label_schema: what that schema says.
        data_fingerprint: hash of the data's content.
        code_fingerprints: component folder -> hash of its code.
        recipe: hash of all that makes the model: data, schema, code and options.
        baseline_version: the pushed version to compare with, or an empty text; a cache key.
    """

    pipeline_root: str
    push_destination: str
    data: str
    schema_path: str
    label_schema: LabelSchema
    data_fingerprint: str
    code_fingerprints: dict[str, str]
    recipe: str
    baseline_version: str


def create_pipeline(config: PipelineConfig, inputs: RunInputs) -> Pipeline:
    """Wires the nodes. Pure: no I/O, no look-up of the environment.

    Args:
        config: what the pipeline does.
        inputs: what it does it with, and where.
    """
    schema_gen = ImportSchemaGen(schema_file=inputs.schema_path)
    schema = schema_gen.outputs["schema"]

    example_gen = CoverExampleGen(
        schema=schema,
        data=inputs.data,
        config=config.ingest.model_dump_json(),
        data_fingerprint=inputs.data_fingerprint,
        code_fingerprint=inputs.code_fingerprints["cover_example_gen"],
    )
    examples = example_gen.outputs["examples"]

    statistics_gen = StatisticsGen(
        examples=examples,
        stats_options=tfdv.StatsOptions(feature_allowlist=list(PROFILED_FEATURES)),
    )
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema
    )
    data_gate = DataGate(
        anomalies=example_validator.outputs["anomalies"],
        quarantine=example_gen.outputs["quarantine"],
        config=config.data_gate.model_dump_json(),
        code_fingerprint=inputs.code_fingerprints["data_gate"],
    )

    trainer = Trainer(
        run_fn=RUN_FN,
        examples=examples,
        schema=schema,
        custom_config={"config": config.trainer.model_dump_json(), "recipe": inputs.recipe},
    )
    trainer.add_upstream_node(data_gate)

    baseline_model = BaselineModel(
        schema=schema,
        push_destination=inputs.push_destination,
        recipe=inputs.recipe,
        expected_version=inputs.baseline_version,
    )
    baseline_model.add_upstream_node(trainer)

    evaluator = Evaluator(
        examples=examples,
        example_splits=[TEST_SPLIT],
        model=trainer.outputs["model"],
        baseline_model=baseline_model.outputs["model"],
        eval_config=make_eval_config(inputs.label_schema, config.evaluation),
    )
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=inputs.push_destination)
        ),
    )

    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=inputs.pipeline_root,
        components=[
            schema_gen,
            example_gen,
            statistics_gen,
            example_validator,
            data_gate,
            trainer,
            baseline_model,
            evaluator,
            pusher,
        ],
        enable_cache=True,
        beam_pipeline_args=list(config.beam_pipeline_args),
    )
