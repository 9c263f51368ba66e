"""How a run ended, and the exit code that says so."""

from __future__ import annotations

import enum

from components.support.errors import ConfigError, CoversError, DataError, ModelNotBlessed


class Outcome(str, enum.Enum):
    """How a run ended."""

    PUSHED = "pushed"
    NOT_BLESSED = "not_blessed"
    DATA_STOPPED = "data_stopped"
    MISCONFIGURED = "misconfigured"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """The exit code of `covers run`."""
        return _EXIT_CODES[self]

    @property
    def ended_early(self) -> bool:
        """Whether the run ended before a model was evaluated."""
        return self not in (Outcome.PUSHED, Outcome.NOT_BLESSED)

    @classmethod
    def of_error(cls, error: BaseException) -> Outcome:
        """The outcome of a run that ended with an error."""
        if isinstance(error, KeyboardInterrupt):
            return cls.INTERRUPTED
        if isinstance(error, DataError):
            return cls.DATA_STOPPED
        if isinstance(error, ModelNotBlessed):
            return cls.NOT_BLESSED
        return cls.MISCONFIGURED if isinstance(error, ConfigError) else cls.FAILED


_EXIT_CODES = {
    Outcome.PUSHED: 0,
    Outcome.NOT_BLESSED: ModelNotBlessed.exit_code,
    Outcome.DATA_STOPPED: DataError.exit_code,
    Outcome.MISCONFIGURED: ConfigError.exit_code,
    Outcome.FAILED: CoversError.exit_code,
    Outcome.INTERRUPTED: 130,
}
