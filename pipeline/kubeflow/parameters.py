"""The parameters of a run: what a compiled pipeline leaves open."""

DATA = "data"
PUSH_DESTINATION = "push_destination"
TRAINING = "training"
