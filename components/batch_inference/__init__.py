"""Runs the models over the test split: each cover goes through each model once."""
