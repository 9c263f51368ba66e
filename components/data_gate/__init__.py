"""Stops the run on data anomalies."""
