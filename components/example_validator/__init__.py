"""Validates statistics against the schema, and a new span against the one before it."""
