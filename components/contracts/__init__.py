"""What crosses the border of a node: the records, names and formats that two folders share."""
