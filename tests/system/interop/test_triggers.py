"""The examples that wait, gather and throttle, on real messages of the event bus.

A server is killed in the middle of each, since what it waits for must outlive it.
"""

from collections.abc import Callable
from pathlib import Path

from support.client import Event
from support.fixtures import StartServer
from support.server import ServerProcess
from system.interop.examples import SERVER, Example
from system.interop.workflows import WorkflowRunner

SCANS = [f"scan{number:02}.pdf" for number in range(12)]
AT_ONCE = 3
"""Workflows at once; the example has 20, which would need as many processes here."""


def restart(start_server: StartServer, server: ServerProcess, directory: Path) -> ServerProcess:
    """Start a server again that was killed, on its ports and its state."""
    ports = ("--listen", server.address, "--http", server.http.removeprefix("http://"))
    return start_server(*ports, directory=directory)


def parameters(workflow: Event) -> list[str]:
    """Return the values of a Workflow's parameters."""
    return [one["value"] for one in workflow["spec"]["arguments"]["parameters"]]


def test_throttled(
    example: Callable[..., Example], start_server: StartServer, root: Path, tmp_path: Path
) -> None:
    """Never more Workflows than allowed are active, and each scan gets one.

    The first scans wait for the client; an exit handler fails while the server is down.
    """
    server = start_server(directory=tmp_path)
    cluster = WorkflowRunner({"http://watcher.argo-events.svc:8081": server.http})
    throttled = example("throttled", cluster)
    throttled.sense(1)
    for scan in SCANS:
        (root / scan).write_text("1")
    here = {SERVER: server.address, "/data/scans": str(root)}
    throttled.source(here | {"max_unacknowledged: 20": f"max_unacknowledged: {AT_ONCE}"})
    server.wait_watch("scans", unconfirmed=len(SCANS))
    cluster.wait_count(AT_ONCE)
    cluster.allow(1)
    cluster.wait_finished(1)
    cluster.wait_count(AT_ONCE + 1)
    server.kill()
    cluster.allow(1)
    cluster.wait_failures(1)
    server = restart(start_server, server, tmp_path)
    cluster.wait_finished(2)
    cluster.allow(len(SCANS))
    cluster.wait_finished(len(SCANS))
    server.wait_watch("scans", unconfirmed=0)
    assert cluster.peak == AT_ONCE
    assert sorted(parameters(workflow)[0] for workflow in cluster.objects) == SCANS
    assert len(cluster.finished) == len(SCANS)
