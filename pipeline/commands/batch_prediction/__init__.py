"""Predictions for any number of covers: read as a stream, kept in parts, and resumable."""
