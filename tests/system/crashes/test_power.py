"""The power fails while the server runs: its state is intact, and has all that was sent.

The server runs under strace. From its log the state directory is made again as it may be after a
loss of power at any moment: with all that was synced, and a part of what was not. This proves that
each commit waits for the disk before its events are sent.
"""

from pathlib import Path

from support.fixtures import Connect, StartServer
from system.crashes.power import check_power_losses


def test_power_loss(start_server: StartServer, connect: Connect, name: str, tmp_path: Path) -> None:
    server = check_power_losses(start_server, connect, tmp_path, name, shared_memory=True)
    assert not server.logged("state.network")
