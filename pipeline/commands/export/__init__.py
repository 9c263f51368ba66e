"""`covers export`: the pushed model for runtimes other than TensorFlow, compared with it."""
