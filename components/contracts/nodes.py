"""Names that several places agree on: nodes, keys of what they exchange, what they note about it.

A function that TFX makes a node of names its inputs and outputs as Python does; a test holds those
names against these.
"""

LABEL_SCHEMA_GEN = "LabelSchemaGen"
COVER_EXAMPLE_GEN = "CoverExampleGen"
STATISTICS_GEN = "StatisticsGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
DATA_GATE = "DataGate"
TUNER = "Tuner"
TRAINER = "Trainer"
BASELINE_MODEL_NODE = "BaselineModel"
BATCH_INFERENCE = "BatchInference"
EVALUATOR = "Evaluator"
INFRA_VALIDATOR = "InfraValidator"
PUSHER = "Pusher"
REPORT_GEN = "ReportGen"

ON_BEAM = (COVER_EXAMPLE_GEN, STATISTICS_GEN, BATCH_INFERENCE, EVALUATOR)
"""The nodes whose work an engine can do."""

# Keys of artifacts, among the inputs and outputs of nodes.
SCHEMA = "schema"
EXAMPLES = "examples"
QUARANTINE = "quarantine"
STATISTICS = "statistics"
ANOMALIES = "anomalies"
DECISION = "decision"
BEST_HYPERPARAMETERS = "best_hyperparameters"
TUNER_RESULTS = "tuner_results"
MODEL = "model"
MODEL_RUN = "model_run"
CANDIDATE = "candidate"
BASELINE_MODEL = "baseline_model"
PREDICTIONS = "predictions"
EVALUATION = "evaluation"
BLESSING = "blessing"
MODEL_BLESSING = "model_blessing"
INFRA_BLESSING = "infra_blessing"
PUSHED_MODEL = "pushed_model"
REPORT = "report"

# Parameter of BaselineModel: the location of the version that it copies, or an empty text.
EXPECTED_VERSION = "expected_version"

# Custom property of the blessings of TFX's Evaluator and of InfraValidator.
BLESSED = "blessed"

# Custom properties of a pushed model; the version also of a baseline.
PUSHED = "pushed"
PUSHED_DESTINATION = "pushed_destination"
PUSHED_VERSION = "pushed_version"

# Custom property of an input on Kubeflow Pipelines: its URI in the object store.
STORED_AS = "stored_as"
