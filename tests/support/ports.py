"""TCP ports for servers that cannot choose one themselves, or keep it when started again."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from random import SystemRandom

LOWEST_PORT = 10_000
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

OWN_PORTS = 200
"""Ports of one process of tests, many times what it uses at once."""


def free_ports(count: int) -> list[int]:
    """Return different TCP ports of 127.0.0.1 on which nothing listens.

    They stay free until they are used, and while what listens there is started again: they are
    below the kernel's range for outgoing connections, and no other process of tests is given them.
    """
    return list(islice(filter(_is_free, _own_ports()), count))


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False


@cache
def _own_ports() -> Iterator[int]:
    """Return the ports that belong to this process, in turn and without end."""
    below = range(LOWEST_PORT, int(PORT_RANGE.read_text().split()[0]))
    blocks = [below[first : first + OWN_PORTS] for first in range(0, len(below), OWN_PORTS)]
    for block in SystemRandom().sample(blocks, len(blocks)):
        # As a port does, this name belongs to one process in the network, until that has ended.
        with suppress(OSError), socket.socket(socket.AF_UNIX) as mark:
            mark.bind(f"\0watcher-tests-{block.start}")
            mark.detach()
            return cycle(block)
    raise RuntimeError("other processes of tests have all ports")
