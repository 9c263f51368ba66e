"""Readers of manifests, one module for each kind; `kinds` finds them."""
