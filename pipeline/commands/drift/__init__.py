"""`covers drift`: whether covers are still like those that a model was trained and tested on."""
