"""DataGate: stops the run when the data are not fit to train on."""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.contracts.artifacts import Quarantine
from components.contracts.quarantine import QUARANTINE_FILE_NAME, read_summary
from components.data_gate.config import DataGateConfig
from components.data_gate.findings import find_problems, read_anomalies
from components.support.errors import DataError


@component
def DataGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    quarantine: InputArtifact[Quarantine],
    config: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Raises on anomalies, drift, too many quarantined rows and genres without examples.

    Args:
        anomalies: what ExampleValidator recorded, by split; drift under `newest_span`.
        quarantine: the refused rows and the account of ingest.
        config: a `DataGateConfig` as JSON.
        code_fingerprint: hash of this folder's code; a cache key only.

    Raises:
        DataError: naming each finding and what to do about it.
    """
    del code_fingerprint
    findings = find_problems(
        read_summary(quarantine.uri),
        {
            split: read_anomalies(artifact_utils.get_split_uri([anomalies], split))
            for split in artifact_utils.decode_split_names(anomalies.split_names)
        },
        DataGateConfig.model_validate_json(config),
        Path(quarantine.uri) / QUARANTINE_FILE_NAME,
    )
    if findings:
        listed = "\n".join(f"  {finding}" for finding in findings)
        problems = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
        raise DataError(f"The data were stopped at the gate: {problems}.\n{listed}")
