"""Names the fixtures of the tests that take their time: they kill, turn the clock, and are clients of every kind."""

from e2e.fixtures import client, connect, contract, name, root, server, start_server
from e2e.neighbours import held, ordinary

__all__ = ["client", "connect", "contract", "held", "name", "ordinary", "root", "server", "start_server"]
