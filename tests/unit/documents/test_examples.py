"""The configurations of the examples are valid, and their Sensors read what payloads have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.project import PROJECT
from watcher.config.schema import parse_spec
from watcher.delivery.renderer import Renderer
from watcher.model import Change, ChangeType, Entry, GroupCounts, Payload, SourceKind
from watcher.sources.s3.hints.queue.errors import ACTIONS
from watcher.sources.s3.hints.queue.setup import _check_notifications
from watcher.spec import BucketSpec, Spec

DIRECTORY, S3 = frozenset({SourceKind.DIRECTORY}), frozenset({SourceKind.S3})
KINDS = {
    "volume": DIRECTORY,
    "acknowledged": DIRECTORY,
    "markers": DIRECTORY | S3,
    "runs": DIRECTORY | S3,
    "throttled": DIRECTORY,
    "bucket": S3,
    "webhook": S3,
    "queue": S3,
    "local": DIRECTORY,
}


SYSCTLS = {
    "net.ipv4.tcp_keepalive_time": "10",
    "net.ipv4.tcp_keepalive_intvl": "5",
    "net.ipv4.tcp_keepalive_probes": "3",
}
"""Kernel parameters of the client's pod; tests/system/interop/test_dead_node.py shows the effect.

Values of sysctls are strings for Kubernetes.
"""


def load(path: Path) -> dict[str, Any]:
    """Return the one document of a YAML file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def specs_of(event_source: dict[str, Any]) -> dict[str, Spec]:
    """Return the spec of each event of an EventSource, after checks of what Argo Events needs."""
    assert (event_source["apiVersion"], event_source["kind"]) == (
        "argoproj.io/v1alpha1",
        "EventSource",
    )
    sysctls = event_source["spec"]["template"]["securityContext"]["sysctls"]
    assert {one["name"]: one["value"] for one in sysctls} == SYSCTLS
    specs = {}
    for name, source in event_source["spec"]["generic"].items():
        assert source.keys() <= {"url", "insecure", "jsonBody", "config", "authSecret"}
        assert source["insecure"] is True
        assert source["jsonBody"] is True
        assert re.fullmatch(r"[a-z0-9.-]+:\d+", source["url"])
        specs[name] = parse_spec(source["config"].encode())
    return specs


def delivered(spec: Spec) -> dict[str, Any]:
    """Return what a Sensor gets for one event of a spec."""
    renderer = Renderer(spec, "cafe")
    entry = Entry(b"a.csv", 1, 0, etag="00")
    change = Change(ChangeType.CREATED, entry)
    if ChangeType.CREATED not in spec.events:
        change = Change(ChangeType.COMPLETED, entry, group=GroupCounts(1, 1, 0, 0))
    event = renderer.event(change, 1, 0)
    (payload,) = renderer.payloads([Payload(1, event)], [], is_last=True)
    return {"body": json.loads(payload.data)}


def found(document: object, path: str) -> object:
    """Return what a dotted path leads to, as a Sensor reads it; a missing key is an error."""
    for step in path.split("."):
        document = document[int(step)] if isinstance(document, list) else document[step]  # type: ignore[index]
    return document


def test_every_event_source_is_known() -> None:
    """No manifest of ``examples/`` stays out of these tests."""
    examples = PROJECT / "examples"
    found = [path for path in examples.rglob("*.yaml") if "kind: EventSource" in path.read_text()]
    assert sorted(found) == sorted(examples / name / "eventsource.yaml" for name in KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_every_event_source_is_valid(name: str) -> None:
    """Each configuration is accepted, and watches the kinds of places that its example is about."""
    specs = specs_of(load(PROJECT / "examples" / name / "eventsource.yaml"))
    assert {spec.where.kind for spec in specs.values()} == KINDS[name]


@pytest.mark.parametrize("name", KINDS)
def test_every_sensor_fits_its_event_source(name: str) -> None:
    """A Sensor names events of its EventSource, and reads only paths that their payloads have."""
    event_source, sensor = (
        load(PROJECT / "examples" / name / file) for file in ("eventsource.yaml", "sensor.yaml")
    )
    specs = specs_of(event_source)
    assert (sensor["apiVersion"], sensor["kind"]) == ("argoproj.io/v1alpha1", "Sensor")
    events = {}
    for dependency in sensor["spec"]["dependencies"]:
        assert dependency["eventSourceName"] == event_source["metadata"]["name"]
        events[dependency["name"]] = delivered(specs[dependency["eventName"]])
        for condition in dependency.get("filters", {}).get("data", ()):
            value = found(events[dependency["name"]], condition["path"])
            assert isinstance(value, str if condition["type"] == "string" else int)
    for trigger in sensor["spec"]["triggers"]:
        check_trigger(trigger["template"], events)


@pytest.mark.parametrize("name", KINDS)
def test_every_container_has_requests_and_limits(name: str) -> None:
    """Pods of Argo Events and of Workflows are admitted where a quota asks for resources."""
    for file in ("eventsource.yaml", "sensor.yaml"):
        found = containers(load(PROJECT / "examples" / name / file))
        assert found
        for container in found:
            resources = container["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}
            assert resources["limits"].keys() == {"memory"}


def containers(node: object) -> list[dict[str, Any]]:
    """Return what is below each key ``container`` of a manifest."""
    if isinstance(node, list):
        return [one for item in node for one in containers(item)]
    if not isinstance(node, dict):
        return []
    here = [node["container"]] if "container" in node else []
    return here + [one for value in node.values() for one in containers(value)]


def check_trigger(template: dict[str, Any], events: dict[str, Any]) -> None:
    """Check that parameters come from payloads, and replace something that a resource has."""
    for word in re.findall(r"\w+", template.get("conditions", "")):
        assert word in events
    resource = template.get("k8s", {})
    for parameter in [
        *resource.get("parameters", ()),
        *template.get("http", {}).get("payload", ()),
    ]:
        found(events[parameter["src"]["dependencyName"]], parameter["src"]["dataKey"])
    for parameter in resource.get("parameters", ()):
        assert isinstance(found(resource["source"]["resource"], parameter["dest"]), str)


def test_the_policies_of_the_queue_are_those_of_its_event_source() -> None:
    """Bucket, prefix, region and queue are the same in all files, and all rights are there."""
    directory = PROJECT / "examples/queue"
    (spec,) = specs_of(load(directory / "eventsource.yaml")).values()
    where = spec.where
    assert isinstance(where, BucketSpec)
    assert where.queue is not None
    assert where.queue.region == where.region
    queue, bucket = f"arn:aws{where.queue.arn}", f"arn:aws:s3:::{where.bucket}"
    (sender,) = policy(directory / "queue-policy.json")
    assert (sender["Action"], sender["Resource"]) == ("sqs:SendMessage", queue)
    assert sender["Condition"]["ArnLike"]["aws:SourceArn"] == bucket
    lists, reads, receives = policy(directory / "watcher-policy.json")
    assert (lists["Action"], lists["Resource"]) == ("s3:ListBucket", bucket)
    assert lists["Condition"]["StringLike"]["s3:prefix"] == f"{where.prefix}*"
    assert (reads["Action"], reads["Resource"]) == (
        "s3:GetObject",
        f"{bucket}/{where.prefix}*",
    )
    assert receives["Resource"] == queue
    assert receives["Action"] == [f"sqs:{action}" for action in ACTIONS]
    found = json.loads((directory / "notification.json").read_text())
    assert list(_check_notifications(where, found)) == []


def policy(path: Path) -> list[dict[str, Any]]:
    """Return the statements of a policy."""
    document = json.loads(path.read_text())
    assert document["Version"] == "2012-10-17"
    statements: list[dict[str, Any]] = document["Statement"]
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return statements


def test_the_local_configuration_is_that_of_its_event_source() -> None:
    """What is tried with ``watcher tail`` is what the cluster asks for."""
    alone = parse_spec((PROJECT / "examples/local/config.yaml").read_bytes())
    assert [alone] == list(specs_of(load(PROJECT / "examples/local/eventsource.yaml")).values())
