"""The commands that stand beside a run."""
