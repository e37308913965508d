"""Which servers use the state: all of them serve while they have contact to it.

An engine that several servers can reach lists those that live; a directory of files is used by the
server that has locked it. Membership says who lives. Which server owns a watch, and what may be
written, is decided watch by watch, so that a server which is believed dead does no harm.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from watcher import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager


class Role(StrEnum):
    """What a server is to the state."""

    SERVING = "serving"
    """It is in contact with the state, and may own watches."""
    CUT_OFF = "cut_off"
    """It has no contact to the state for some time."""
    STANDBY = "standby"
    """A program that works alone uses the state, or a server of the former version does."""


class Departure(StrEnum):
    """How a former owner has left a watch."""

    RELEASED = "released"
    """It gave the watch back, or there was none."""
    EXPIRED = "expired"
    """It was not heard of for the time of a lease."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that lives.

    Attributes:
        id: Random, for the time of its process; empty where no other server can be.
        name: For people.
        node: Where it runs; empty if it is not known.
        version: Of the program.
        started_at: When it began to use the state, seconds since the epoch.
        is_leaving: Whether it is about to stop, and takes no more watches.
        watches: Number of watches that it owns.
        entries: Rows in their indexes.
        streams: Number of streams that it serves.
    """

    id: str
    name: str
    node: str
    version: str
    started_at: float
    is_leaving: bool = False
    watches: int = 0
    entries: int = 0
    streams: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server is to the state at one moment.

    Attributes:
        role: Its role.
        problem: Why the server cannot serve, in one line; empty if it can.
    """

    role: Role
    problem: str = ""


class Membership(Protocol):
    """The part of one server in the state; read from any thread without waiting."""

    @property
    def me(self) -> Server:
        """This server."""

    @property
    def servers(self) -> Sequence[Server]:
        """The servers that live, this one included, by id."""

    @property
    def standing(self) -> Standing:
        """What the server is to the state now; may change without a notification with the time."""

    @property
    def takeovers(self) -> Mapping[Departure, int]:
        """How often the server has taken a watch, by how its former owner had left it."""

    @property
    def fenced(self) -> int:
        """How many writes of the server were refused since another one had taken the watch."""

    def take(self) -> None:
        """Use the state alone, for a program that is no server; servers stand by meanwhile.

        Raises:
            StateError: A server uses it.
        """

    def follow(self, notify: Callable[[], None]) -> None:
        """Join the servers, now or as soon as that may be done. Waits for the state.

        Args:
            notify: Called from any thread when the standing or the servers have changed.

        Raises:
            StateError: The state cannot be used.
        """

    def note_load(self, *, watches: int, entries: int, streams: int) -> None:
        """Note what the server has to do, for the others."""

    def leave(self) -> None:
        """Announce that the server is about to stop; waits for the state only a moment."""


class SoleMembership:
    """The membership of a server that no other can join; see ``Membership``.

    Args:
        name: Of the server, for people.
        started_at: When it began to use the state, seconds since the epoch.
    """

    standing = Standing(Role.SERVING)
    takeovers: Mapping[Departure, int] = {}
    fenced = 0

    def __init__(self, name: str = "", started_at: float = 0.0) -> None:
        self._me = Server(id="", name=name, node="", version=__version__, started_at=started_at)

    @property
    def me(self) -> Server:
        """This server."""
        return self._me

    @property
    def servers(self) -> Sequence[Server]:
        """This server alone."""
        return (self._me,)

    def take(self) -> None:
        """Do nothing: nobody else can use the state."""

    def follow(self, notify: Callable[[], None]) -> None:
        """Do nothing: neither standing nor servers ever change."""

    def note_load(self, *, watches: int, entries: int, streams: int) -> None:
        """Note what the server has to do."""
        self._me = replace(self._me, watches=watches, entries=entries, streams=streams)

    def leave(self) -> None:
        """Note that the server is about to stop."""
        self._me = replace(self._me, is_leaving=True)


class Shared(Protocol):
    """An engine that servers may share."""

    @property
    def membership(self) -> Membership:
        """The part of this server in the state."""


Engine = TypeVar("Engine", bound=Shared)


@contextmanager
def used_alone(entering: AbstractContextManager[Engine]) -> Iterator[Engine]:
    """Enter an engine and use its state alone, for a program that is no server.

    Raises:
        StateError: The state cannot be used, or a server uses it.
    """
    with entering as engine:
        engine.membership.take()
        yield engine
