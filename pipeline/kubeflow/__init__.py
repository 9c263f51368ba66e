"""The pipeline on Kubeflow Pipelines: compile, submit, and what runs in each container."""
