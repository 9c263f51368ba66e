"""Asks the exported model for answers, as servers will, before it is pushed."""
