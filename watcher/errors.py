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

PLACE_MAX_BYTES, MESSAGE_MAX_BYTES, HINT_MAX_BYTES = 1000, 2500, 500
"""What the parts of an error may take in a gRPC status: together 4 KiB, half of what every client accepts; it refuses what is longer."""


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
        """Return the error as one line, ``place: message; hint``, control characters escaped; of a part that is long the beginning."""
        place, hint = _cut(self.place, PLACE_MAX_BYTES), _cut(self.hint, HINT_MAX_BYTES)
        line = _cut(self.message, MESSAGE_MAX_BYTES)
        line = f"{place}: {line}" if place else line
        return f"{line}; {hint}" if hint else line


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


def status_bytes(text: str) -> int:
    """Return what a text takes in a gRPC status: there control characters are escaped, and all but printable ASCII is percent-encoded."""
    return sum(
        1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        for char in _escape(text)
    )


def _cut(text: str, most_bytes: int) -> str:
    room = most_bytes
    for index, char in enumerate(text):
        room -= status_bytes(char)
        if room < 0:
            return f"{_escape(text[:index])}..."
    return _escape(text)


def _escape(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
