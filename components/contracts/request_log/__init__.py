"""The request log: a sample of the covers that a server answered, without who asked.

TFRecord files of bounded total size, of tf.train.Examples with the feature keys of ingest.
"""
