"""The errors of the project: one class for each answer that a client or an operator can get.

Every error carries what is wrong, where, and what to do. The adapter of a library translates its
exceptions into these with ``raise ... from``; ``rpc/calls.py`` maps the classes to gRPC statuses.

    WatcherError
    ├── ConfigError            the configuration of an event source is not valid
    ├── UnauthenticatedError   no token, or one that is not known
    ├── DeniedError            not allowed by the server's policy, or by the store
    ├── NotFoundError          no such directory, bucket or queue
    ├── ConflictError          the identity is in use with another configuration, or the queue
    ├── LimitError             a limit of the server is reached
    ├── UnavailableError       cannot be reached or read now; worth another try
    └── StateError             the state directory, a state file or the database cannot be used
        ├── AwayError          the database cannot be reached now
        ├── FencedError        the state of a watch was opened elsewhere since
        ├── OwnedElsewhereError  another server owns the watch
        └── HistoryError       the database has other steps than an open store
"""

from __future__ import annotations

from typing import ClassVar

PLACE_MAX_BYTES, MESSAGE_MAX_BYTES, HINT_MAX_BYTES = 1000, 2500, 500
"""Maximum size of the parts of an error in a gRPC status, encoded, in bytes.

Together 4 KiB, half of what every client accepts; a client drops a call with a longer status.
"""


class WatcherError(Exception):
    """A failure that a person reads.

    Attributes:
        message: What is wrong, in one sentence without a final full stop.
        place: Where: a place URI, a file name or a config key; empty if the message has it.
        hint: What to do about it, in the imperative; empty if nothing can be done.
        cause: The class of the error in one word, for metrics.
    """

    cause: ClassVar[str] = "failed"

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        """Return ``place: message; hint`` as one line.

        Control characters are escaped, and long parts are cut at their maximum size.
        """
        place, hint = _cut(self.place, PLACE_MAX_BYTES), _cut(self.hint, HINT_MAX_BYTES)
        line = _cut(self.message, MESSAGE_MAX_BYTES)
        line = f"{place}: {line}" if place else line
        return f"{line}; {hint}" if hint else line


def causes() -> list[str]:
    """Return the causes of all classes, in alphabetical order."""
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
    """There is no such directory, bucket or queue."""

    cause = "not_found"


class ConflictError(WatcherError):
    """The identity is in use with another configuration, or the queue by another watch."""

    cause = "conflict"


class LimitError(WatcherError):
    """A limit of the server is reached."""

    cause = "limit"


class UnavailableError(WatcherError):
    """The place cannot be reached or read now; the same call may succeed later."""

    cause = "unavailable"


class StateError(WatcherError):
    """The state directory, a state file or the database cannot be used."""

    cause = "state"


class AwayError(StateError):
    """The database cannot be reached now, or does not answer; what was asked may have been done."""


class FencedError(StateError):
    """The state of a watch was opened elsewhere since, and nothing was written."""


class OwnedElsewhereError(StateError):
    """Another server owns the watch, and nothing was written.

    Attributes:
        owner: Name of that server, for people.
    """

    def __init__(self, message: str, *, owner: str, place: str = "", hint: str = "") -> None:
        super().__init__(message, place=place, hint=hint)
        self.owner = owner


class HistoryError(StateError):
    """The database lacks steps of an open store, or has others; nothing was written."""


def status_bytes(text: str) -> int:
    """Return the size of a text in a gRPC status, in bytes.

    Control characters are escaped, and all but printable ASCII is percent-encoded (PROTOCOL-HTTP2
    of gRPC, "Status-Message").
    """
    return sum(
        1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        for char in _escape(text)
    )


def _cut(text: str, max_bytes: int) -> str:
    left_bytes = max_bytes
    for index, char in enumerate(text):
        left_bytes -= status_bytes(char)
        if left_bytes < 0:
            return f"{_escape(text[:index])}..."
    return _escape(text)


def _escape(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
