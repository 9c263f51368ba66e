"""The curated label schema, as the first artifact of the pipeline."""
