"""`covers log-to-mlflow`: runs of the past in MLflow."""
