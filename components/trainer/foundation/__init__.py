"""Frozen image encoders of the user's own: SavedModels, .keras files and KerasHub presets."""
