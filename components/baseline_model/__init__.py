"""The latest pushed model, as the evaluation's baseline."""
