"""Names the fixtures of the tests with kills, clock jumps, power losses and hostile clients."""

from support.fixtures import client, connect, contract, name, root, server, start_server
from support.neighbours import held, ordinary

__all__ = ["client", "connect", "contract", "held", "name"]
__all__ += ["ordinary", "root", "server", "start_server"]
