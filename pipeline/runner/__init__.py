"""A run on this machine: LocalDagRunner, its console, its folders and its history."""
