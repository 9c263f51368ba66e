"""Delivers a blessed model to the push destination."""
