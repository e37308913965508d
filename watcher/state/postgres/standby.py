"""Servers that keep another one from using the database: it stands by for them, or waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watcher.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from watcher.state.postgres.servers import Member


class Obstacle(NamedTuple):
    """A server that lives as far as is known.

    Attributes:
        name: For people.
        until: When its lease runs out, as the database has it.
        problem: Why another one stands by.
    """

    name: str
    until: str
    problem: str


def find_obstacles(
    members: Iterable[Member], me: str, *, is_exclusive: bool, may_succeed: bool
) -> Mapping[str, Obstacle]:
    """Return the servers that a server has to stand by for, by id.

    Args:
        members: All that are remembered.
        me: Id of the server.
        is_exclusive: Whether it works alone.
        may_succeed: Whether one whose lease has run out counts as dead.
    """
    return {
        each.server.id: Obstacle(
            each.server.name, each.until, f"standby: {each.server.name} uses the state alone"
        )
        for each in members
        if each.server.id != me
        and (is_exclusive or each.is_exclusive)
        and not (each.has_expired and may_succeed)
    }


def outwait(
    attempt: Callable[[], Mapping[str, Obstacle]],
    pause: Callable[[], object],
    pauses: int,
    place: str,
) -> None:
    """Attempt something until nobody stands in its way.

    Args:
        attempt: Returns who does, by id.
        pause: Waits between two attempts.
        pauses: Number of pauses in which the lease of a dead server runs out.
        place: The database, for errors.

    Raises:
        StateError: Somebody stands in its way who lives; or any that ``attempt`` raises.
    """
    found = first = attempt()
    for _ in range(pauses):
        # One whose lease was renewed since is alive.
        is_renewed = any(first.get(id_, each).until != each.until for id_, each in found.items())
        if not found or is_renewed:
            break
        pause()
        found = attempt()
    if found:
        raise StateError(
            f"another server uses this database ({min(each.name for each in found.values())})",
            place=place,
            hint="stop it, or name another database or schema with --state",
        )
