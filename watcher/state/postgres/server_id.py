"""The identity of one server to the others that use its database."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerId:
    """A server, for the time of its process.

    Attributes:
        name: Of the server, for people.
        node: Where it runs, for people; may be empty.
        id: Random.
    """

    name: str = ""
    node: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def session_name(self) -> str:
        """What its sessions are called in ``pg_stat_activity``."""
        return session_name(self.id)


def session_name(server: str) -> str:
    """Return what the sessions of a server are called, given its id; a name has up to 63 bytes."""
    return f"watcher {server[:8]}"
