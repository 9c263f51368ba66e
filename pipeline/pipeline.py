"""The pipeline: covers and labels in, an evaluated and, if it passes the gate, pushed model out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tfx.components.trainer.component import Trainer
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline

from components.baseline_model.component import BaselineModel
from components.batch_inference.component import BatchInference
from components.contracts import nodes
from components.contracts.label_schema import DRIFT_SPLITS
from components.cover_example_gen.component import CoverExampleGen
from components.data_gate.component import DataGate
from components.evaluator.component import Evaluator
from components.example_validator.component import ExampleValidator
from components.infra_validator.component import InfraValidator
from components.label_schema_gen.component import LabelSchemaGen
from components.pusher.component import Pusher
from components.report_gen.component import ReportGen
from components.statistics_gen.component import StatisticsGen
from pipeline.config import PipelineConfig

RUN_FN = "components.trainer.run.run_fn"
TUNER_FN = "components.trainer.tuning.tuner_fn"


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What differs between runs and runners: where things are, and what caches must know.

    Each is a value, or the runtime parameter that supplies it when a compiled pipeline is run.

    Attributes:
        pipeline_root: where artifacts are stored.
        push_destination: folder, or URL of an object store, for the pushed model versions.
        data: the manifest or folder to ingest, or its URL.
        data_fingerprint: hash of the data's content; a cache key.
        schema_text: the label schema in text format.
        training: what the trainer's `run_fn` receives; see `pipeline.runner.training_options`.
        tuning: what the tuner's `tuner_fn` receives, if there is one.
        code_fingerprints: component folder -> hash of the code that it runs; a cache key.
        beam_args: arguments of every Beam pipeline; a cache key of TFX.
    """

    pipeline_root: str
    push_destination: str | RuntimeParameter
    data: str | RuntimeParameter
    data_fingerprint: str | RuntimeParameter
    schema_text: str
    training: dict[str, Any] | RuntimeParameter
    tuning: dict[str, Any]
    code_fingerprints: dict[str, str]
    beam_args: tuple[str, ...]


def create_pipeline(config: PipelineConfig, inputs: RunInputs) -> Pipeline:
    """Wires the nodes. Pure: no I/O, no environment look-ups.

    Args:
        config: what the pipeline does.
        inputs: the data it works on, and where things are.
    """
    schema_gen = LabelSchemaGen(
        content=inputs.schema_text,
        code_fingerprint=inputs.code_fingerprints["label_schema_gen"],
    )
    schema = schema_gen.outputs[nodes.SCHEMA]

    example_gen = CoverExampleGen(
        schema=schema,
        data=inputs.data,
        config=config.ingest.model_dump_json(),
        data_fingerprint=inputs.data_fingerprint,
        code_fingerprint=inputs.code_fingerprints["cover_example_gen"],
    )
    examples = example_gen.outputs[nodes.EXAMPLES]

    statistics_gen = StatisticsGen(
        examples=examples,
        slices=json.dumps(config.ingest.slices),
        code_fingerprint=inputs.code_fingerprints["statistics_gen"],
    )
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs[nodes.STATISTICS],
        schema=schema,
        exclude_splits=DRIFT_SPLITS,  # compared with each other, not with the schema
        code_fingerprint=inputs.code_fingerprints["example_validator"],
    )
    data_gate = DataGate(
        anomalies=example_validator.outputs[nodes.ANOMALIES],
        quarantine=example_gen.outputs[nodes.QUARANTINE],
        config=config.data_gate.model_dump_json(),
        code_fingerprint=inputs.code_fingerprints["data_gate"],
    )

    tuners, trials = [], {}
    if config.tuner:
        from tfx.components.tuner.component import Tuner  # brings Keras Tuner

        tuners = [
            Tuner(
                tuner_fn=TUNER_FN,
                examples=examples,
                schema=schema,
                custom_config=inputs.tuning,
            )
        ]
        tuners[0].add_upstream_node(data_gate)
        trials = {nodes.TUNER_RESULTS: tuners[0].outputs[nodes.TUNER_RESULTS]}
    trainer = Trainer(
        run_fn=RUN_FN,
        examples=examples,
        schema=schema,
        hyperparameters=tuners[0].outputs[nodes.BEST_HYPERPARAMETERS] if tuners else None,
        custom_config=inputs.training,
    )
    trainer.add_upstream_node(data_gate)

    baseline_model = BaselineModel(
        candidate=trainer.outputs[nodes.MODEL],
        push_destination=inputs.push_destination,
        code_fingerprint=inputs.code_fingerprints["baseline_model"],
    )

    batch_inference = BatchInference(
        examples=examples,
        model=trainer.outputs[nodes.MODEL],
        baseline_model=baseline_model.outputs[nodes.MODEL],
        code_fingerprint=inputs.code_fingerprints["batch_inference"],
    )
    evaluator = Evaluator(
        predictions=batch_inference.outputs[nodes.PREDICTIONS],
        model=trainer.outputs[nodes.MODEL],
        baseline_model=baseline_model.outputs[nodes.MODEL],
        config=config.evaluation.model_dump_json(),
        code_fingerprint=inputs.code_fingerprints["evaluator"],
    )
    infra_validator = InfraValidator(
        model=trainer.outputs[nodes.MODEL],
        model_blessing=evaluator.outputs[nodes.BLESSING],
        examples=examples,
        predictions=batch_inference.outputs[nodes.PREDICTIONS],
        config=config.infra_validator.model_dump_json(),
        code_fingerprint=inputs.code_fingerprints["infra_validator"],
    )
    pusher = Pusher(
        model=trainer.outputs[nodes.MODEL],
        model_blessing=evaluator.outputs[nodes.BLESSING],
        infra_blessing=infra_validator.outputs[nodes.BLESSING],
        push_destination=inputs.push_destination,
        evaluation=evaluator.outputs[nodes.EVALUATION],
        quarantine=example_gen.outputs[nodes.QUARANTINE],
        code_fingerprint=inputs.code_fingerprints["pusher"],
    )
    report_gen = ReportGen(
        inputs={
            nodes.SCHEMA: schema,
            nodes.EXAMPLES: examples,
            nodes.QUARANTINE: example_gen.outputs[nodes.QUARANTINE],
            nodes.STATISTICS: statistics_gen.outputs[nodes.STATISTICS],
            nodes.ANOMALIES: example_validator.outputs[nodes.ANOMALIES],
            nodes.DECISION: data_gate.outputs[nodes.DECISION],
            nodes.MODEL: trainer.outputs[nodes.MODEL],
            nodes.MODEL_RUN: trainer.outputs[nodes.MODEL_RUN],
            nodes.BASELINE_MODEL: baseline_model.outputs[nodes.MODEL],
            nodes.PREDICTIONS: batch_inference.outputs[nodes.PREDICTIONS],
            nodes.EVALUATION: evaluator.outputs[nodes.EVALUATION],
            nodes.BLESSING: evaluator.outputs[nodes.BLESSING],
            nodes.INFRA_BLESSING: infra_validator.outputs[nodes.BLESSING],
            nodes.PUSHED_MODEL: pusher.outputs[nodes.PUSHED_MODEL],
            **trials,
        },
        config=config.model_dump_json(by_alias=True),
        data=inputs.data,
        data_fingerprint=inputs.data_fingerprint,
        push_destination=inputs.push_destination,
        code_fingerprint=inputs.code_fingerprints["report_gen"],
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
            *tuners,
            trainer,
            baseline_model,
            batch_inference,
            evaluator,
            infra_validator,
            pusher,
            report_gen,
        ],
        enable_cache=True,
        beam_pipeline_args=list(inputs.beam_args),
    )
