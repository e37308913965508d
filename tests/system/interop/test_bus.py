"""The whole client of Argo Events: what its pod publishes on the event bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from system.interop.bus import Bus, BusReader, EventSourceService
from system.interop.pods import event_source, place_of, secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.s3.real_servers import S3Server
    from support.server import ServerProcess

    Run = Callable[..., Any]


@pytest.fixture
def reader(bus: Bus, run: Run, tmp_path: Path) -> BusReader:
    """Read the bus."""
    reader = run(BusReader(bus, tmp_path))
    assert isinstance(reader, BusReader)
    return reader


def test_directory_and_bucket(
    start_server: Callable[..., ServerProcess],
    seaweedfs: S3Server,
    bus: Bus,
    reader: BusReader,
    run: Run,
    root: Path,
    tmp_path: Path,
) -> None:
    """An EventSource with a directory and a bucket publishes CloudEvents with the payload below ``data.body``, a subject for each."""
    tokens = tmp_path / "tokens"
    tokens.write_text("orders:s3cret\n")
    server = start_server("--token-file", str(tokens))
    server.token = "s3cret"  # noqa: S105 - not a secret
    bucket = seaweedfs.make_bucket()
    common = {"url": server.address, "authSecret": {"name": "watcher-token", "key": "token"}}
    files = common | {"config": {"directory": str(root), "metadata": {"team": "data"}}}
    objects = common | {"config": {"s3": place_of(seaweedfs, bucket)}}
    both = event_source("storage", files=files, objects=objects)
    run(EventSourceService(both, bus, tmp_path, secret(tmp_path, {"token": "s3cret"})))
    server.wait_watch("files", state="watching")
    server.wait_watch("objects", state="watching")
    (root / "a.csv").write_text("1")
    seaweedfs.put_many(bucket, ["in/b.csv"])
    [file] = reader.wait_count(1, "default.storage.files")
    [stored] = reader.wait_count(1, "default.storage.objects")
    assert (file["type"], file["path"], file["size"], file["metadata"]) == (
        "created",
        "a.csv",
        1,
        {"team": "data"},
    )
    assert (stored["type"], stored["bucket"], stored["path"]) == ("created", bucket, "in/b.csv")
    envelopes = {
        subject: (event["source"], event["subject"], event["type"])
        for subject, event in reader.events()
    }
    assert envelopes == {
        "default.storage.files": ("storage", "files", "generic"),
        "default.storage.objects": ("storage", "objects", "generic"),
    }


def test_a_pod_that_is_killed(
    start_server: Callable[..., ServerProcess],
    bus: Bus,
    reader: BusReader,
    run: Run,
    root: Path,
    tmp_path: Path,
) -> None:
    """What the bus gets twice because the pod was killed has new ids of Argo Events, and the same ``body.id``: that removes duplicates."""
    server = start_server()
    source = event_source(
        "storage", files={"url": server.address, "config": {"directory": str(root)}}
    )
    first = run(EventSourceService(source, bus, tmp_path))
    server.wait_watch("files", state="watching")
    (root / "a.csv").write_text("1")
    reader.wait_count(1, "default.storage.files")
    first.kill()
    run(EventSourceService(source, bus, tmp_path))
    one, two = reader.wait_count(2, "default.storage.files")
    assert one == two
    assert len({event["id"] for _, event in reader.events()}) == 2
