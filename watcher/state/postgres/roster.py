"""The other servers that live, as one server sees them, and what is logged of their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from watcher.state.membership import Server
    from watcher.state.postgres.servers import Member


class Roster:
    """The other servers that live. Any thread may read it.

    Args:
        me: Id of the server that looks.
        place: The database, for the log.
    """

    def __init__(self, me: str, place: str) -> None:
        self._me = me
        self._others: dict[str, Server] = {}
        self._has_looked = False
        self._log = structlog.get_logger("watcher").bind(state=place)

    @property
    def others(self) -> Collection[Server]:
        """The other servers that live."""
        return self._others.values()

    def forget(self) -> None:
        """Know of no other server, since this one has to look anew."""
        self._others = {}
        self._has_looked = False

    def note(self, members: Sequence[Member], *, may_succeed: bool) -> bool:
        """Take note of the table of the servers.

        Args:
            members: What is there.
            may_succeed: Whether one whose lease has run out counts as dead. After an outage of the
                database nobody has been able to renew a lease, so one that lived before lives.

        Returns:
            Whether a server has come, begun to leave, or gone.
        """
        former = self._others
        present = {
            each.server.id: each.server
            for each in members
            if each.server.id != self._me
            and (not each.has_expired or (each.server.id in former and not may_succeed))
        }
        remembered = {each.server.id for each in members}
        for id_ in present.keys() - former.keys() if self._has_looked else ():
            self._log.info("server.joined", **_labels(present[id_]))
        for id_ in former.keys() - present.keys():
            if id_ in remembered:
                self._log.warning("server.lost", **_labels(former[id_]))
            else:
                self._log.info("server.left", **_labels(former[id_]))
        # What others see has been logged.
        self._others, self._has_looked = present, True
        return _leaving(former.values()) != _leaving(present.values())


def _labels(server: Server) -> dict[str, str]:
    return {"other": server.name, "other_node": server.node}


def _leaving(servers: Collection[Server]) -> dict[str, bool]:
    return {server.id: server.is_leaving for server in servers}
