"""The pipeline's own nodes, one folder each, and what they share: contracts and support."""
