"""DataGate: stops the run when the data are not fit to train on."""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.artifacts import GateDecision, Quarantine
from components.contracts.decisions import DataRefused, write_decision
from components.contracts.nodes import DATA_GATE
from components.contracts.quarantine import QUARANTINE_FILE_NAME, read_summary
from components.data_gate.config import DataGateConfig
from components.data_gate.refusals import decide, read_anomalies
from components.support import progress


@component
def DataGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    quarantine: InputArtifact[Quarantine],
    decision: OutputArtifact[GateDecision],
    config: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Raises on anomalies, drift, too many quarantined rows and genres without examples.

    Args:
        anomalies: what ExampleValidator recorded, by split; drift under `newest_span`.
        quarantine: the quarantined rows and the row counts of ingest.
        decision: receives what was decided, and why.
        config: a `DataGateConfig` as JSON.
        code_fingerprint: hash of this folder's code; a cache key only.

    Raises:
        DataRefused: names each reason and what to do about it.
    """
    del code_fingerprint
    decided = decide(
        read_summary(quarantine.uri),
        {
            split: read_anomalies(artifact_utils.get_split_uri([anomalies], split))
            for split in artifact_utils.decode_split_names(anomalies.split_names)
        },
        DataGateConfig.from_json(config),
        str(Path(quarantine.uri) / QUARANTINE_FILE_NAME),
    )
    write_decision(decision.uri, decided)
    for warning in decided.warnings if decided.passed else ():
        progress.warn(DATA_GATE, warning.what)
    if not decided.passed:
        raise DataRefused(decided)
