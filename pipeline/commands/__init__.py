"""The commands besides `covers run`."""
