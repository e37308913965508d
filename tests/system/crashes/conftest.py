"""Names the fixtures of the tests that take their time: they kill, turn the clock, and are clients of every kind."""

from support.fixtures import client, connect, contract, name, root, server, start_server
from support.neighbours import held, ordinary

__all__ = [
    "client",
    "connect",
    "contract",
    "held",
    "name",
    "ordinary",
    "root",
    "server",
    "start_server",
]
