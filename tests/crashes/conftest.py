"""Names the fixtures of the tests that take their time: they kill, turn the clock, and are clients of every kind."""

from e2e.fixtures import client, connect, contract, name, root, server, start_server

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]
