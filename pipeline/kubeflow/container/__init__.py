"""What runs in the containers of the tasks, and nothing else."""
