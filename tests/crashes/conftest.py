"""Names the fixtures of the tests that kill, and of those that turn the clock."""

from e2e.fixtures import connect, contract, name, root, start_server

__all__ = ["connect", "contract", "name", "root", "start_server"]
