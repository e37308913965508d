"""Nodes in networks of their own, with cables to one router, which can be cut.

The router then forwards nothing and reports nothing, as when a node has lost its power: no packet
says that a connection is over.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from support.client import wait_until

FORWARDING = "net.ipv4.ip_forward"
SUBNET = "192.0.2"
"""TEST-NET-1 (RFC 5737). Each cable has two addresses, the router the lower one."""


class Node(NamedTuple):
    """A network namespace: a process in it, and the command that executes another one in it."""

    process: int
    launcher: tuple[str, ...]

    def ip(self, command: str) -> None:
        """Run a command of iproute2."""
        subprocess.run([*self.launcher, "ip", *command.split()], check=True)

    def set(self, sysctls: Mapping[str, str]) -> None:
        """Set kernel parameters, as a kubelet does for a pod."""
        for name, value in sysctls.items():
            file = f"/proc/sys/{name.replace('.', '/')}"
            script = ("sh", "-c", 'echo "$0" >"$1"', value, file)
            subprocess.run([*self.launcher, *script], check=True)


class Network:
    """A router, with this process's own network as its first node; use it as a context manager.

    Attributes:
        address: The address of this process.
    """

    def __init__(self) -> None:
        self.address = f"{SUBNET}.1"
        self._exits = ExitStack()
        self._nodes = 0

    def __enter__(self) -> Self:
        self._router = self._exits.enter_context(make_namespace())
        self._connect(Node(os.getpid(), ()))
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        # A cable ends with either of its ends.
        self._exits.close()

    def add_node(self) -> Node:
        """Return a further node, to the end of the network."""
        node = self._exits.enter_context(make_namespace())
        self._connect(node)
        return node

    def cut(self) -> None:
        """Lose every packet from now on."""
        self._router.set({FORWARDING: "0"})

    def plug_in(self) -> None:
        """Forward packets again."""
        self._router.set({FORWARDING: "1"})

    def _connect(self, node: Node) -> None:
        port, cable = f"port{self._nodes}", f"cable{self._nodes}"
        gateway, address = f"{SUBNET}.{2 * self._nodes}", f"{SUBNET}.{2 * self._nodes + 1}"
        self._nodes += 1
        self._router.ip(f"link add {port} type veth peer name {cable} netns {node.process}")
        for end, own, device in ((self._router, gateway, port), (node, address, cable)):
            end.ip(f"addr add {own}/31 dev {device}")
            end.ip(f"link set {device} up")
        node.ip(f"route add {SUBNET}.0/24 via {gateway}")


@contextmanager
def make_namespace() -> Iterator[Node]:
    """Make a network namespace to the end of the block."""
    ours = Path("/proc/self/ns/net").readlink()
    # The process that holds it ends with its standard input, and so with this one.
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as holder:
        file = Path(f"/proc/{holder.pid}/ns/net")
        wait_until(lambda: file.readlink() != ours, "the namespace is there")
        yield Node(holder.pid, ("nsenter", f"--net={file}", "--"))
