"""The colour onto which transparent covers are flattened, in training and in serving."""

DEFAULT_BACKGROUND = "#ffffff"
BACKGROUND_PATTERN = "^#[0-9a-fA-F]{6}$"
