"""The examples that wait, gather and throttle, on real messages of the event bus.

A server is killed in the middle of each, since what it waits for must outlive it.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.client import Event, wait_until
from support.fixtures import StartServer
from support.ports import free_ports
from support.s3.real_servers import S3Server
from support.server import ServerProcess
from system.interop.examples import SERVER, Example, Run
from system.interop.kubernetes import Recorder
from system.interop.workflows import WorkflowRunner

MINIO = "http://minio.minio.svc:9000"
SCANS = [f"scan{number:02}.pdf" for number in range(12)]
SEEN = 10
"""Files that the server has seen of a run in whose middle it is killed."""

AT_ONCE = 3
"""Workflows at once; the example has 20, which would need as many processes here."""


@pytest.fixture
def start(start_server: StartServer, tmp_path: Path) -> Callable[[], ServerProcess]:
    """Return what starts a server, and starts it again on its ports and its state."""
    grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    return lambda: start_server("--listen", grpc, "--http", http, directory=tmp_path)


def parameters(workflow: Event) -> list[str]:
    """Return the values of a Workflow's parameters."""
    return [one["value"] for one in workflow["spec"]["arguments"]["parameters"]]


def test_runs(
    example: Callable[..., Example],
    start: Callable[[], ServerProcess],
    rclone_server: S3Server,
    root: Path,
) -> None:
    """A run starts one Workflow when it rests, and one more when it has changed and rests again."""
    server = start()
    bucket = rclone_server.make_bucket()
    runs = example("runs")
    runs.sense(2)
    (root / "before").mkdir()
    (root / "before" / "a").write_text("1")
    # Longer than the pauses of a machine that is busy.
    quickly = {"quiet: 5m": "quiet: 4s", "poll_interval: 1m": "poll_interval: 1s"}
    store = {MINIO: rclone_server.endpoint_url, "bucket: landing": f"bucket: {bucket}"}
    runs.source({SERVER: server.address, "/data/runs": str(root)} | store | quickly)
    runs.api.wait_count(1)
    server.wait_watch("uploads", state="watching")
    rclone_server.put_many(bucket, ["runs/u/a", "runs/u/sub/b", "runs/above"])
    (root / "above").write_text("belongs to no run")
    (root / "run" / "sub").mkdir(parents=True)
    written = 0

    def is_in_the_middle() -> bool:
        # Goes on to be written all the while, or it might rest before the server is killed.
        nonlocal written
        (root / "run" / "sub" / f"{written}").write_text("1234")
        written += 1
        return bool(server.watches()["runs"]["entries"] > SEEN)

    wait_until(is_in_the_middle, "the server has seen a part of the run")
    server.kill()
    (root / "run" / "last").write_text("12345")
    server = start()
    runs.api.wait_objects(3)
    (root / "run" / "late").write_text("1")
    runs.api.wait_objects(4)
    server.wait_all_confirmed()
    created: dict[str, list[list[str]]] = {"run": [], "upload": []}
    for workflow in runs.api.objects:
        kind = re.fullmatch(
            "analyse-(run|upload)-[0-9a-f]{16}-[0-9]+", workflow["metadata"]["name"]
        )
        assert kind
        created[kind[1]].append(parameters(workflow))
    assert created == {
        "run": [
            ["before", "1", "1"],
            ["run", str(written + 1), str(4 * written + 5)],
            ["run", str(written + 2), str(4 * written + 6)],
        ],
        "upload": [[f"s3://{bucket}/runs/u"]],
    }


def test_markers(
    example: Callable[..., Example],
    start: Callable[[], ServerProcess],
    rclone_server: S3Server,
    run: Run,
    root: Path,
) -> None:
    """Files and objects start something once their marker is there, and markers nothing."""
    tables = run(Recorder())
    server = start()
    bucket = rclone_server.make_bucket()
    markers = example("markers")
    markers.sense(2, {"http://tables.default.svc:8080": tables.url})
    store = {MINIO: rclone_server.endpoint_url, "bucket: landing": f"bucket: {bucket}"}
    store |= {"poll_interval: 1m": "poll_interval: 1s"}
    markers.source({SERVER: server.address, "/data/in": str(root)} | store)
    for name in ("files", "tables"):
        server.wait_watch(name, state="watching")
    rclone_server.put_many(bucket, ["tables/a/1.parquet", "tables/b/1.parquet"])
    for name in ("a", "b"):
        (root / f"{name}.csv").write_text("not complete")
    waiting = {"marker": 2, "min_size": 0, "max_size": 0}
    server.wait_watch("files", held_back=waiting)
    server.wait_watch("tables", held_back=waiting)
    (root / "b.csv.done").touch()
    markers.api.wait_count(1)
    rclone_server.put_many(bucket, ["tables/b/_SUCCESS"])
    tables.wait_count(1)
    server.kill()
    (root / "a.csv").write_text("complete")
    (root / "a.csv.done").touch()
    rclone_server.put_many(bucket, ["tables/a/_SUCCESS"])
    start()
    workflows = markers.api.wait_objects(2)
    assert [parameters(workflow) for workflow in workflows] == [["b.csv"], ["a.csv"]]
    # An event that was not confirmed at the kill comes again.
    loaded = [f"s3://{bucket}/tables/{name}/1.parquet" for name in "ba"]
    wait_until(lambda: len(uris(tables)) >= len(loaded), "both tables are loaded")
    assert uris(tables) == loaded


def uris(tables: Recorder) -> list[str]:
    """Return the URIs that a service has received, without repetitions."""
    return list(dict.fromkeys(table["uri"] for _, table in tables.posted))


def test_throttled(
    example: Callable[..., Example], start: Callable[[], ServerProcess], root: Path
) -> None:
    """Never more Workflows than allowed are active, and each scan gets one.

    The first scans wait for the client; an exit handler fails while the server is down.
    """
    server = start()
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
    server = start()
    cluster.wait_finished(2)
    cluster.allow(len(SCANS))
    cluster.wait_finished(len(SCANS))
    server.wait_watch("scans", unconfirmed=0)
    assert cluster.peak == AT_ONCE
    assert sorted(parameters(workflow)[0] for workflow in cluster.objects) == SCANS
    assert len(cluster.finished) == len(SCANS)
