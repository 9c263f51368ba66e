"""`covers compare`: any number of runs side by side."""
