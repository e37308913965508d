"""The Sensors of ``examples/`` on real messages of the event bus."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote_plus

from support import hint_messages
from support.client import wait_until
from support.fixtures import StartServer
from support.s3.real_servers import S3Server
from support.server import ServerProcess
from system.interop.bus import Bus, BusReader, Sensor
from system.interop.examples import SERVER, Example, Run
from system.interop.kubernetes import Recorder
from system.interop.pods import TOKEN, TOKENS, secret

SUBJECT = "default.local.inbox"


def test_volume(
    example: Callable[[str], Example], start_server: StartServer, root: Path, tmp_path: Path
) -> None:
    """Each order starts one Workflow with path and type; an event that comes twice starts one."""
    # Nothing is confirmed before the service has been started again, however long that takes.
    server = start_server("--redelivery-window", "10m", tokens=TOKENS, directory=tmp_path)
    volume = example("volume")
    volume.sense(1)
    here = {SERVER: server.address, "/data/in": str(root)}
    (root / "before.csv").write_text("there before")
    service = volume.source(here, secret(tmp_path, TOKEN))
    path = volume.api.wait_count(1)[0].path
    assert path == "/apis/argoproj.io/v1alpha1/namespaces/argo-events/workflows"
    server.wait_watch("orders", state="watching")
    (root / "empty.csv").touch()
    (root / "other.txt").write_text("not an order")
    (root / ".order.csv").write_text("an order")
    (root / ".order.csv").rename(root / "order.csv")
    volume.api.wait_objects(2)
    # Both events again: their names are taken.
    service.close()
    volume.source(here, tmp_path / "secrets")
    volume.api.wait_count(4)
    parameters = [
        [one["value"] for one in workflow["spec"]["arguments"]["parameters"]]
        for workflow in volume.api.objects
    ]
    assert parameters == [["before.csv", "created"], ["order.csv", "created"]]
    assert all(
        re.fullmatch("import-order-[0-9a-f]{16}-[0-9]+", workflow["metadata"]["name"])
        for workflow in volume.api.objects
    )


def test_bucket(
    example: Callable[[str], Example], start_server: StartServer, rclone_server: S3Server, run: Run
) -> None:
    """Pictures go to one service, scans to another as S3 notifications, and deletions to none."""
    thumbnails, scans = run(Recorder()), run(Recorder())
    server = start_server()
    bucket = rclone_server.make_bucket()
    example_bucket = example("bucket")
    services = {
        "http://thumbnails.default.svc:8080": thumbnails.url,
        "http://scans.default.svc:8080": scans.url,
    }
    example_bucket.sense(2, services)
    here = {
        SERVER: server.address,
        "http://minio.minio.svc:9000": rclone_server.endpoint_url,
        "bucket: landing": f"bucket: {bucket}",
    }
    # With the example's intervals the test would take half a minute.
    often = {
        "poll_interval: 1m": "poll_interval: 1s",
        "prefix: scans/": "prefix: scans/\n          poll_interval: 1s",
    }
    example_bucket.source(here | often)
    server.wait_watch("pictures", state="watching")
    server.wait_watch("scans", state="watching")
    rclone_server.put_many(bucket, ["pictures/a b.jpg", "pictures/note.txt", "scans/a b.pdf"])
    [(_, picture)] = thumbnails.wait_count(1)
    [(_, scan)] = scans.wait_count(1)
    assert (picture["bucket"], picture["key"]) == (bucket, "pictures/a b.jpg")
    assert picture["id"]
    assert picture["etag"]
    assert (scan["bucket"], scan["key"]) == (bucket, "scans/a+b.pdf")
    assert scan["id"]
    with closing(rclone_server.client()) as store:
        store.delete_object(Bucket=bucket, Key="pictures/a b.jpg")
    server.wait_watch("pictures", next_seq=3)
    rclone_server.put_many(bucket, ["pictures/c.jpg"])
    keys = [picture["key"] for _, picture in thumbnails.wait_count(2)]
    assert keys == ["pictures/a b.jpg", "pictures/c.jpg"]


def test_acknowledged(example: Callable[[str], Example], server: ServerProcess, root: Path) -> None:
    """A payment comes again until its Workflow's id is acknowledged, and starts one Workflow."""
    acknowledged = example("acknowledged")
    acknowledged.sense(1)
    acknowledged.source(
        {SERVER: server.address, "/data/payments": str(root), "ack_timeout: 5m": "ack_timeout: 2s"}
    )
    server.wait_watch("payments", state="watching")
    (root / "a.xml").write_text("1")
    acknowledged.api.wait_count(3)
    [workflow] = acknowledged.api.objects
    path, number = (parameter["value"] for parameter in workflow["spec"]["arguments"]["parameters"])
    assert path == "a.xml"
    assert workflow["metadata"]["name"] == f"book-payment-{number}"
    assert server.post("/ack", {"id": number})[0] == 200
    server.wait_watch("payments", unconfirmed=0)


def test_local(
    example: Callable[[str], Example],
    server: ServerProcess,
    bus: Bus,
    run: Run,
    root: Path,
) -> None:
    """New files are in the log of the Sensor; backups of editors and deletions are not."""
    local = example("local")
    sensor = local.sense(1)
    local.source({"host.k3d.internal:8080": server.address, "/tmp/inbox": str(root)})  # noqa: S108 - as the example has it
    server.wait_watch("inbox", state="watching")
    (root / "a.txt~").write_text("1")
    (root / "a.txt").write_text("1")
    reader = run(BusReader(bus))
    reader.wait_count(1, SUBJECT)
    (root / "a.txt").unlink()
    reader.wait_count(2, SUBJECT)
    (root / "b.txt").write_text("1")
    published = [(body["type"], body["path"]) for body in reader.wait_count(3, SUBJECT)]
    assert published == [("created", "a.txt"), ("deleted", "a.txt"), ("created", "b.txt")]
    wait_until(lambda: len(logged(sensor)) >= 2, "the Sensor has logged both files")
    assert logged(sensor) == [("created", "a.txt"), ("created", "b.txt")]


def logged(sensor: Sensor) -> list[tuple[str, str]]:
    """Return types and paths of the events in the log of a log trigger."""
    lines = [json.loads(line) for line in sensor.stderr.splitlines() if line.startswith("{")]
    bodies = [
        json.loads(line["msg"])["body"]
        for line in lines
        if line.get("triggerType") == "Log" and "eventContext" in line
    ]
    return [(body["type"], body["path"]) for body in bodies]


def test_webhook(
    example: Callable[[str], Example],
    start_server: StartServer,
    rclone_server: S3Server,
    run: Run,
    tmp_path: Path,
) -> None:
    """What MinIO sends with the token of the EventSource brings each invoice to the service."""
    invoices = run(Recorder())
    server = start_server(tokens=TOKENS, directory=tmp_path)
    bucket = rclone_server.make_bucket()
    webhook = example("webhook")
    webhook.sense(1, {"http://invoices.default.svc:8080": invoices.url})
    here = {
        SERVER: server.address,
        "http://minio.minio.svc:9000": rclone_server.endpoint_url,
        "bucket: landing": f"bucket: {bucket}",
    }
    webhook.source(here, secret(tmp_path, TOKEN))
    server.wait_watch("invoices", state="watching")
    rclone_server.put_many(bucket, ["invoices/a b.pdf", "invoices/note.txt"])
    for name in ("a b.pdf", "note.txt"):
        written = quote_plus(f"invoices/{name}")
        message = hint_messages.minio(bucket, f"invoices/{name}", written)
        assert server.post("/hint", message, token=TOKEN) == (202, {"watches": 1})
    [(_, invoice)] = invoices.wait_count(1)
    assert invoice["id"]
    del invoice["id"]
    assert invoice == {"type": "created", "bucket": bucket, "key": "invoices/a b.pdf"}
