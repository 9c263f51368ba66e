"""Statistics of what can be profiled of covers."""
