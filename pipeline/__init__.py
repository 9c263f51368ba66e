"""How the nodes are wired, configured and run."""
