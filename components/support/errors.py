"""The errors a user can meet, each with the exit code of the command line.

CoversError            1   anything the project raises on purpose
├── ConfigError        2   a configuration, option or path is wrong
├── DataError          3   the data were stopped at the gate
├── ModelNotBlessed    4   trained and evaluated, but refused
├── DeploymentError    1   a model or pipeline could not be delivered
├── DamagedArtifact    1   what an earlier stage or run wrote is missing or changed
└── MachineError       1   the machine refused: its disk, memory or permissions
"""


class CoversError(Exception):
    """Base of every error raised on purpose; the message says what to do."""

    exit_code = 1


class ConfigError(CoversError):
    """A configuration value, command-line option or path is wrong."""

    exit_code = 2


class DataError(CoversError):
    """The data cannot be used, or were stopped at the gate."""

    exit_code = 3


class ModelNotBlessed(CoversError):
    """A threshold, the serving check or a rollback refuses a model that was trained."""

    exit_code = 4


class DeploymentError(CoversError):
    """A model or a pipeline could not be delivered or found."""


class DamagedArtifact(CoversError):
    """What an earlier stage or run wrote is missing or is no longer what it was."""


class MachineError(CoversError):
    """The machine refused: its disk is full, its memory is used up, or a permission is missing."""
