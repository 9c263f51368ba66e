"""What crosses the border of a node: records, names and formats that two folders agree on."""
