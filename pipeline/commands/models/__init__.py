"""What becomes of a model after its push: list, compare, take back, keep and delete versions."""
