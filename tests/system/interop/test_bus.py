"""The pod of an EventSource: what it publishes on the event bus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from support.config import config
from support.fixtures import StartServer
from support.s3.real_servers import S3Server
from system.interop.bus import Bus, BusReader, EventSourceService
from system.interop.pods import TOKEN, TOKENS, auth, event_source, secret

Run: TypeAlias = Callable[..., Any]


@pytest.fixture
def reader(bus: Bus, run: Run) -> BusReader:
    reader = run(BusReader(bus))
    assert isinstance(reader, BusReader)
    return reader


def test_directory_and_bucket(
    start_server: StartServer,
    seaweedfs: S3Server,
    bus: Bus,
    reader: BusReader,
    run: Run,
    root: Path,
    tmp_path: Path,
) -> None:
    """Events are CloudEvents with the payload below ``data.body``; each source has a subject.

    The token of ``authSecret`` may have the line end of an editor.
    """
    server = start_server(tokens=TOKENS)
    bucket = seaweedfs.make_bucket()
    common = {"url": server.address} | auth()
    files = common | {"config": config(root, metadata={"team": "data"})}
    objects = common | {"config": config(seaweedfs, bucket=bucket, addressing_style="path")}
    both = event_source("storage", files=files, objects=objects)
    run(EventSourceService(both, bus, secret(tmp_path, f"{TOKEN}\n")))
    server.wait_watch("files", state="watching", principal="orders")
    server.wait_watch("objects", state="watching")
    (root / "a.csv").write_text("1")
    seaweedfs.put_many(bucket, ["in/b.csv"])
    [file] = reader.wait_count(1, "default.storage.files")
    [stored] = reader.wait_count(1, "default.storage.objects")
    assert (file["type"], file["path"], file["size"]) == ("created", "a.csv", 1)
    assert file["metadata"] == {"team": "data"}
    assert (stored["type"], stored["bucket"], stored["path"]) == ("created", bucket, "in/b.csv")
    envelopes = {
        subject: (event["source"], event["subject"], event["type"])
        for subject, event in reader.envelopes()
    }
    assert envelopes == {
        "default.storage.files": ("storage", "files", "generic"),
        "default.storage.objects": ("storage", "objects", "generic"),
    }
