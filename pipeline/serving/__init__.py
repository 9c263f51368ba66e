"""Serving over HTTP: TensorFlow Serving's API, the open inference protocol, and a plain one."""
