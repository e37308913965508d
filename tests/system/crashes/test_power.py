"""The power fails while the server runs: what clients have been sent is in the state that is left, and the state is whole.

The server runs under strace, from whose record the state directory is made again as it may be after a loss of power at any moment: with all
that was synced, and with a part of what was not. What is tested is that each commit waits for the disk before it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from system.crashes.power import check_power_losses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.client import Client
    from support.server import ServerProcess


def test_power_loss(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    name: str,
    tmp_path: Path,
) -> None:
    """Whenever the power fails, all that was sent is in the state, and its index is exactly what its journal has told."""
    server = check_power_losses(start_server, connect, tmp_path, name, shared_memory=True)
    assert not server.logged("state.network")
