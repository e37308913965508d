"""Decides whether the examples and README.md say what the program does: their configurations are valid, and their paths are there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from support.project import PROJECT
from watcher.config.schema import parse_spec
from watcher.delivery.renderer import Renderer
from watcher.model import Change, ChangeType, Entry, SourceKind
from watcher.spec import Spec

SCHEMA = json.loads((PROJECT / "watcher/payload.schema.json").read_bytes())
README = (PROJECT / "README.md").read_text()
FENCED = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
KINDS = {
    "volume": SourceKind.DIRECTORY,
    "acknowledged": SourceKind.DIRECTORY,
    "bucket": SourceKind.S3,
    "local": SourceKind.DIRECTORY,
}
SMALLEST: dict[str, dict[str, Any]] = {
    "s3.request_budget": {"s3": {"bucket": "landing", "poll_interval": "auto"}},
    "directory": {"directory": {"path": "/data/in"}},
    "s3": {"s3": {"bucket": "landing"}},
    "batch.max_wait": {"directory": "/data/in", "batch": {"max_events": 2}},
    "ack_timeout": {"directory": "/data/in", "confirm": "ack"},
}


def load(path: Path) -> dict[str, Any]:
    """Return the one document of a YAML file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def specs_of(event_source: dict[str, Any]) -> dict[str, Spec]:
    """Return the spec of each event of an EventSource, after checking what the client of Argo Events needs."""
    assert (event_source["apiVersion"], event_source["kind"]) == (
        "argoproj.io/v1alpha1",
        "EventSource",
    )
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
    event = renderer.event(Change(ChangeType.CREATED, Entry(b"a.csv", 1, 0, etag="00")), 1, 0)
    return {"body": json.loads(renderer.payload(1, 1, [event]))}


def found(document: object, path: str) -> object:
    """Return what a dotted path leads to, as a Sensor reads it; a missing key is an error."""
    for step in path.split("."):
        document = document[int(step)] if isinstance(document, list) else document[step]  # type: ignore[index]
    return document


@pytest.mark.parametrize("name", KINDS)
def test_every_event_source_is_valid(name: str) -> None:
    """Each configuration of an example is accepted and watches the kind of place that the example is about."""
    specs = specs_of(load(PROJECT / "examples" / name / "eventsource.yaml"))
    assert {spec.where.kind for spec in specs.values()} == {KINDS[name]}


@pytest.mark.parametrize("name", KINDS)
def test_every_sensor_fits_its_event_source(name: str) -> None:
    """A Sensor names events that its EventSource has, and reads only paths that their payloads have."""
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


def check_trigger(template: dict[str, Any], events: dict[str, Any]) -> None:
    """Check that parameters come from payloads, and that those of a resource go where the resource has something to replace."""
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


def test_the_local_configuration_is_that_of_its_event_source() -> None:
    """What is tried with ``watcher tail`` is what the cluster asks for."""
    alone = parse_spec((PROJECT / "examples/local/config.yaml").read_bytes())
    assert [alone] == list(specs_of(load(PROJECT / "examples/local/eventsource.yaml")).values())


@pytest.mark.parametrize("text", [text for language, text in FENCED if language == "yaml"])
def test_the_yaml_of_the_readme_is_valid(text: str) -> None:
    """A configuration or an EventSource that is copied from README.md works."""
    if "apiVersion" in text:
        assert specs_of(yaml.safe_load(text)).keys()
    else:
        assert isinstance(parse_spec(text.encode()), Spec)


def rows(first_header: str) -> list[list[str]]:
    """Return the cells of the table of README.md that begins with a header cell."""
    table = README.partition(f"\n| {first_header} |")[2].partition("\n\n")[0]
    return [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


def with_key(key: str, value: str | None) -> Spec:
    """Return the spec of the smallest configuration in which a key may stand, with the key, or without it where the value is None."""
    place, _, inner = key.partition(".")
    config = dict(SMALLEST.get(key) or SMALLEST.get(place) or SMALLEST["directory"])
    if value is not None:
        read = yaml.safe_load(value)
        config[place] = {**config.get(place, {}), inner: read} if inner else read
    return parse_spec(json.dumps(config).encode())


@pytest.mark.parametrize(
    ("key", "default", "example"), [(row[0], row[1], row[3]) for row in rows("key | default")]
)
def test_the_table_of_keys_is_true(key: str, default: str, example: str) -> None:
    """Every example is accepted and is not the default, and every default is what one gets without the key."""
    changed = with_key(key, example)
    if default:
        plain = with_key(key, None)
        assert with_key(key, default) == plain
        assert changed != plain


def test_the_table_of_the_payload_is_complete() -> None:
    """README.md explains the keys of the schema, in their order, and its example is a payload."""
    assert [row[0] for row in rows("key | value")] == list(SCHEMA["properties"])
    (example,) = (json.loads(text) for language, text in FENCED if language == "json")
    assert list(example) == list(SCHEMA["properties"])
    Draft202012Validator(SCHEMA).validate(example)


@pytest.mark.parametrize(
    "page", [PROJECT / "README.md", PROJECT / "examples/README.md"], ids=["readme", "examples"]
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or a directory, and every anchor a heading."""
    text = page.read_text()
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors
        elif "://" not in link:
            assert (page.parent / link).exists()
