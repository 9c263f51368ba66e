"""Covers in, validated tf.Examples and a quarantine out."""
