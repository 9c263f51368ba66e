"""TFMA configuration, multi-label metrics and the verdict."""
