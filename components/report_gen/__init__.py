"""The report of a run: one HTML file that opens anywhere, and its machine-readable twin."""
