"""An evaluation as it is written down: its metrics, the rules of the gate, the verdict."""
