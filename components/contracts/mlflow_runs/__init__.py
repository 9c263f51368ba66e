"""Runs in MLflow: what is logged of a run, and the logging."""
