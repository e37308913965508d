"""Faults of a network, made by a relay."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from support.relay import Relay
from system.replicas.conftest import ROUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Fault: TypeAlias = "Callable[[Relay], None]"

MANY_ROUNDS = 20
"""Rounds from which on each test tries every fault."""


def refuse(relay: Relay) -> None:
    """Cut all connections, and accept no others."""
    relay.stop()


def reset(relay: Relay) -> None:
    """Reset all connections, and let no others through."""
    relay.reset()
    relay.block()


FAULTS: dict[str, Fault] = {
    "black hole": Relay.block,
    "questions lost": partial(Relay.block, from_target=False),
    "answers lost": partial(Relay.block, to_target=False),
    "refused": refuse,
    "reset": reset,
}


def faults(*names: str) -> Iterable[Fault]:
    """Return these faults one after the other, or all of them if there are many rounds."""
    for name in FAULTS if ROUNDS >= MANY_ROUNDS else names:
        print(name)
        yield FAULTS[name]


def end(relay: Relay) -> None:
    """Let everything through again; connections go on if they are still there."""
    if relay.is_listening:
        relay.unblock()
    else:
        relay.start()


def end_and_close(relay: Relay) -> None:
    """Let everything through again; connections that are still there are closed."""
    relay.stop()
    relay.start()
