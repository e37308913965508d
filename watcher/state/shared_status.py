"""What servers that share a state show of it on their pages, whichever of them is asked.

Reports are for people, and may be lost at any time: an owner writes them again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.model import Identity

SECRET_BYTES = 32
"""Length of the secret in bytes."""


class SharedReport(NamedTuple):
    """What the owner of a watch has last reported of it.

    Attributes:
        identity: Of the watch.
        owner: Id of the server that owns the watch now, whether or not that one lives; None for
            nobody.
        at: When it was reported, seconds since the epoch by the clock of the owner.
        report: As JSON; may be that of another version of the program.
    """

    identity: Identity
    owner: str | None
    at: float
    report: str


class SharedStatus(Protocol):
    """The reports of one state. Any thread may use it."""

    def secret(self) -> bytes:
        """Return a secret that all servers have, with which they know their forms again.

        Raises:
            StateError: The state cannot be used.
        """

    def write(self, reports: Mapping[int, str]) -> None:
        """Report watches that this server owns; other ones are left as they are.

        Args:
            reports: JSON by number of the watch; see ``survey.SurveyedWatch``.

        Raises:
            StateError: The state cannot be written.
        """

    def read(self, principal: str) -> Sequence[SharedReport]:
        """Return the reports of the watches of a principal that other servers own.

        Raises:
            StateError: The state cannot be read.
        """


class SoleStatus:
    """The reports of a server that no other one is beside: there are none; see ``SharedStatus``."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(SECRET_BYTES)

    def secret(self) -> bytes:
        """Return a secret of this process."""
        return self._secret

    def write(self, reports: Mapping[int, str]) -> None:
        """Do nothing: nobody else reads it."""

    def read(self, principal: str) -> Sequence[SharedReport]:  # noqa: ARG002 - as the port has it
        """Return nothing: nobody else has watches."""
        return ()
