"""The errors of the project: one class for each answer that a client or an operator can get.

Every error carries what is wrong, where, and what to do. An adapter translates the exceptions of its library into these with
``raise ... from``; ``service.py`` holds the one table from these classes to gRPC statuses. This module imports nothing of ours.

    WatcherError
    ├── ConfigError            the configuration of an event source is not valid
    ├── UnauthenticatedError   no token, or one that is not known
    ├── DeniedError            not allowed by the server's policy, or by the store
    ├── NotFoundError          no such directory or bucket
    ├── ConflictError          the identity is in use with another configuration
    ├── LimitError             a limit of the server is reached
    ├── UnavailableError       cannot be reached or read now; worth another try
    └── StateError             the state directory or a state file cannot be used
"""

from __future__ import annotations

from typing import ClassVar


class WatcherError(Exception):
    """A failure that is told to a person.

    Attributes:
        message: What is wrong, in one sentence without a final full stop.
        place: Where: a place URI, a file name or a config key; empty where the message says it already.
        hint: What to do about it, in the imperative; empty where nothing can be done.
        cause: The class of error in one word, for metrics.
    """

    cause: ClassVar[str] = "failed"

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        """Return the error as one line: ``place: message; hint``, control characters escaped."""
        line = f"{self.place}: {self.message}" if self.place else self.message
        if self.hint:
            line = f"{line}; {self.hint}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def causes() -> list[str]:
    """Return the causes that there are, in alphabetical order."""
    kinds: list[type[WatcherError]] = [WatcherError, *WatcherError.__subclasses__()]
    return sorted({kind.cause for kind in kinds})


class ConfigError(WatcherError):
    """The configuration of an event source is not valid."""

    cause = "config"


class UnauthenticatedError(WatcherError):
    """The client sent no token, or one that the server does not know."""

    cause = "unauthenticated"


class DeniedError(WatcherError):
    """The server's policy or the store does not allow it."""

    cause = "denied"


class NotFoundError(WatcherError):
    """There is no such directory or bucket."""

    cause = "not_found"


class ConflictError(WatcherError):
    """The identity is in use with another configuration."""

    cause = "conflict"


class LimitError(WatcherError):
    """A limit of the server is reached."""

    cause = "limit"


class UnavailableError(WatcherError):
    """The place cannot be reached or read now; the same call may succeed later."""

    cause = "unavailable"


class StateError(WatcherError):
    """The state directory or a state file cannot be used."""

    cause = "state"
