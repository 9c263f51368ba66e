"""The pipeline's own nodes, one folder each, in the order of the data flow."""
