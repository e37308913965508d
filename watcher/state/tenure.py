"""Which server owns the state: one at a time, while others stand by.

An engine that several servers can reach lets one of them own the state; a directory of files is
owned by the server that has locked it. Ownership says who may begin. What may be written is decided
by each store, so that a former owner that has not noticed yet does no harm.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager


class Role(StrEnum):
    """What a server is to the state."""

    OWNER = "owner"
    """It owns the state."""
    CUT_OFF = "cut_off"
    """It owns the state as far as it knows, but has no contact to it."""
    STANDBY = "standby"
    """Another server owns the state, or nobody does yet."""


class Departure(StrEnum):
    """How a former owner has left the state."""

    RELEASED = "released"
    """It gave the state back, or there was none."""
    EXPIRED = "expired"
    """It was not heard of for the time of a lease."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The server that owns the state, for people.

    Attributes:
        name: That of the server; empty if it is not known.
        node: Where it runs; empty if it is not known.
        since: When it took the state, seconds since the epoch.
    """

    name: str
    node: str
    since: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What a server is to the state at one moment.

    Attributes:
        role: Its role.
        tenure: Number of its tenure, higher for each further one; 0 while it stands by.
        owner: Which server owns the state; None if it has no owner, or needs no name.
        problem: Why the server cannot serve, in one line; empty for an owner.
    """

    role: Role
    tenure: int = 0
    owner: Owner | None = None
    problem: str = ""


class Tenure(Protocol):
    """The claim of one server to the state; read from any thread without waiting."""

    @property
    def standing(self) -> Standing:
        """What the server is to the state now; may change without a notification with the time."""

    @property
    def takeovers(self) -> Mapping[Departure, int]:
        """How often the server has taken the state, by how its former owner had left it."""

    @property
    def fenced(self) -> int:
        """How many writes of the server were refused since another one had taken over."""

    def take(self) -> None:
        """Take the state now, for a program that does not stand by.

        Raises:
            StateError: Another server owns it.
        """

    def follow(self, notify: Callable[[], None]) -> None:
        """Take the state as soon as it may be taken, again whenever it was lost.

        Args:
            notify: Called from any thread when the standing has changed.
        """


class SoleTenure:
    """The tenure of a server that nobody can take the state from; see ``Tenure``."""

    standing = Standing(Role.OWNER, tenure=1)
    takeovers: Mapping[Departure, int] = {}
    fenced = 0

    def take(self) -> None:
        """Do nothing."""

    def follow(self, notify: Callable[[], None]) -> None:
        """Do nothing: the standing never changes."""


class Owned(Protocol):
    """An engine that has a tenure."""

    @property
    def tenure(self) -> Tenure:
        """The claim of this server to the state."""


Engine = TypeVar("Engine", bound=Owned)


@contextmanager
def owned(entering: AbstractContextManager[Engine]) -> Iterator[Engine]:
    """Enter an engine and own its state, for a program that does not stand by.

    Raises:
        StateError: The state cannot be used, or a server owns it.
    """
    with entering as engine:
        engine.tenure.take()
        yield engine
