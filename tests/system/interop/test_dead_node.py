"""A node that dies: its clients are told by their kernels alone, as the sysctls of the pod say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from support.client import wait_until
from support.config import config
from support.files import fill
from support.fixtures import StartServer
from support.project import PROJECT
from system.interop.network import Network
from system.interop.pods import Listener, event_source

NOTICED_S = 60.0
"""Seconds until either side notices; twice what the sysctls give and the manual says (25 s)."""

ENDED = "failed to receive events"
"""What the client logs when its stream has ended."""


def test_a_node_that_dies(
    start_server: StartServer, run: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    """With the sysctls of the examples a client connects again and misses nothing.

    Without them it still waits then. The server ends the streams of both.
    """
    example = yaml.safe_load((PROJECT / "examples/volume/eventsource.yaml").read_text())
    context = example["spec"]["template"]["securityContext"]
    sysctls = {one["name"]: one["value"] for one in context["sysctls"]}
    network: Network = run(Network())
    server = start_server("--listen", f"{network.address}:0", "--allow-directory", str(root))

    def connect(name: str, settings: dict[str, str]) -> Listener:
        node = network.add_node()
        node.set(settings)
        event = {"url": server.address, "config": config(root, id=name)}
        directory = tmp_path / name
        directory.mkdir()
        source = event_source("files", **{name: event})
        client: Listener = run(Listener(source, name, directory, launcher=node.launcher))
        return client

    noticing, waiting = connect("noticing", sysctls), connect("waiting", {})
    for name in ("noticing", "waiting"):
        server.wait_watch(name, state="watching")
    fill(root, "before")
    for client in (noticing, waiting):
        client.wait_path("before")
    network.cut()
    fill(root, "meanwhile")
    server.wait_streams(0, NOTICED_S)
    wait_until(lambda: ENDED in noticing.stderr, "the client notices", NOTICED_S)
    assert ENDED not in waiting.stderr
    network.plug_in()
    by_seq = {body["seq"]: body["path"] for body in noticing.wait_path("meanwhile")}
    assert by_seq == {1: "before", 2: "meanwhile"}
