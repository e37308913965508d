"""What a relay lets through while a direction is blocked, and what a reset is to both ends."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from support.client import DEADLINE_S
from support.relay import Relay

LOST_S = 0.3
"""Seconds in which nothing comes; through an open relay it takes a millisecond."""


class Relayed(NamedTuple):
    """A relay, and the two ends of a connection through it."""

    relay: Relay
    client: socket.socket
    target: socket.socket

    def is_lost(self, receiver: socket.socket) -> bool:
        """Return whether nothing comes."""
        receiver.settimeout(LOST_S)
        try:
            receiver.recv(1)
        except TimeoutError:
            return True
        finally:
            receiver.settimeout(DEADLINE_S)
        return False


@pytest.fixture
def relayed() -> Iterator[Relayed]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        relay = stack.enter_context(Relay(f"http://127.0.0.1:{port}"))
        host, _, port = relay.address.rpartition(":")
        client = stack.enter_context(socket.create_connection((host, port), DEADLINE_S))
        target = stack.enter_context(listener.accept()[0])
        target.settimeout(DEADLINE_S)
        client.sendall(b"0")
        assert target.recv(1) == b"0"
        yield Relayed(relay, client, target)


def test_what_clients_send_is_lost(relayed: Relayed) -> None:
    """TCP sends it again; answers pass."""
    relayed.relay.block(from_target=False)
    relayed.client.sendall(b"1")
    assert relayed.is_lost(relayed.target)
    relayed.target.sendall(b"2")
    assert relayed.client.recv(1) == b"2"
    relayed.relay.unblock()
    assert relayed.target.recv(1) == b"1"


def test_what_the_target_sends_is_lost(relayed: Relayed) -> None:
    """It waits; questions pass."""
    relayed.relay.block(to_target=False)
    relayed.target.sendall(b"1")
    assert relayed.is_lost(relayed.client)
    relayed.client.sendall(b"2")
    assert relayed.target.recv(1) == b"2"
    relayed.relay.unblock()
    assert relayed.client.recv(1) == b"1"


def test_nobody_connects_meanwhile(relayed: Relayed) -> None:
    host, _, port = relayed.relay.address.rpartition(":")
    relayed.relay.block()
    with pytest.raises(TimeoutError):
        socket.create_connection((host, port), LOST_S)
    relayed.relay.unblock()
    socket.create_connection((host, port), DEADLINE_S).close()


@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_reset(relayed: Relayed, *, is_blocked: bool) -> None:
    if is_blocked:
        relayed.relay.block()
    relayed.relay.reset()
    for end in (relayed.client, relayed.target):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
