"""Which engine runs the Beam stages of the pipeline."""
