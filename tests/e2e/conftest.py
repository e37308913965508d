"""Names the fixtures of the end-to-end tests."""

from support.fixtures import client, connect, contract, name, root, server, start_server

__all__ = ["client", "connect", "contract", "name", "root", "server", "start_server"]
