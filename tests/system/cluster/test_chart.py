"""The chart: each value has an effect, mistakes are refused, the documents match."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import fenced
from support.fixtures import StartServer
from support.project import PROJECT
from system.cluster.cluster import (
    CHART,
    DATABASE,
    EVERYTHING,
    FLAVOURS,
    VALUED,
    Programs,
    RefusedError,
    documents,
    one,
    pod_of,
    value_flags,
    workload_of,
)
from watcher import __version__
from watcher.config.schema import parse_spec

SCHEMA = json.loads((CHART / "values.schema.json").read_bytes())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
RECIPES = [
    text
    for text in fenced((PROJECT / "docs/stores.md").read_text("utf-8"), "yaml")
    if text.startswith("# values")
]
FORMER = "000e2e4"
"""The last commit of 0.1.0."""

SHORT = 40
"""Most characters of a default in the table of values."""


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the paths of the values that the schema does not divide further."""
    for key, child in schema["properties"].items():
        if "properties" in child:
            yield from leaves(child, (*path, key))
        elif key != "global":
            yield (*path, key)


LEAVES = sorted(leaves(SCHEMA))
APART: dict[tuple[str, ...], dict[str, Any]] = {
    ("networkPolicy", "enabled"): {"enabled": False},
    ("persistence", "enabled"): {"enabled": False},
    ("persistence", "existingClaim"): {"existingClaim": "given"},
    ("serviceAccount", "create"): {"create": False},
    ("tokens", "existingSecret"): {"existingSecret": "given", "values": {}},
}
"""Values that exclude others, which everything.yaml sets."""
NEEDS_DATABASE = {("replicas",), ("state", "postgresql", "key")}
"""Values that have an effect only with a database, or are refused without."""


def at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - values are anything
    for key in path:
        values = values[key]
    return values


def without(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return values without one."""
    rest = {key: value for key, value in values.items() if key != path[0]}
    return rest | {path[0]: without(values[path[0]], path[1:])} if path[1:] else rest


@pytest.mark.parametrize("files", VALUED.values(), ids=VALUED)
def test_lint_finds_nothing(programs: Programs, files: tuple[Path, ...]) -> None:
    programs.run("helm", "lint", "--strict", CHART, *value_flags(files))


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_reach_the_pod(programs: Programs, tmp_path: Path, text: str) -> None:
    """What the recipes for stores set is in the pod, and nothing that they set is unknown."""
    (tmp_path / "values.yaml").write_text(text)
    values = yaml.safe_load(text)
    manifests = programs.render(tmp_path / "values.yaml")
    pod = pod_of(manifests)["spec"]
    (container,) = pod["containers"]
    for key, there in (
        ("args", container["args"]),
        ("envFrom", container.get("envFrom", [])),
        ("extraEnv", container.get("env", [])),
        ("volumeMounts", container["volumeMounts"]),
        ("volumes", pod["volumes"]),
    ):
        assert all(each in there for each in values.get(key, ())), key
    account = one(manifests, "ServiceAccount")["metadata"]
    assert account["name"] == pod["serviceAccountName"] == "watcher"
    wanted = values.get("serviceAccount", {}).get("annotations", {})
    assert account.get("annotations", {}) == wanted


def test_nothing_to_watch_is_refused(programs: Programs) -> None:
    with pytest.raises(
        RefusedError, match=r"Nothing may be watched. Set allow.directories, for example"
    ):
        programs.render()


def test_tokens_given_twice_are_refused(programs: Programs) -> None:
    with pytest.raises(RefusedError, match=r"Set tokens.existingSecret or tokens.values, not both"):
        programs.render(*FLAVOURS["tokens"], sets=("tokens.values.orders=secret",))


@pytest.mark.parametrize(
    ("flavour", "value", "message"),
    [
        ("volume", "replicas=2", "Several servers need a database"),
        ("postgresql", "persistence.existingClaim=given", "The state is given twice"),
    ],
)
def test_values_that_exclude_each_other(
    programs: Programs, flavour: str, value: str, message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        programs.render(*FLAVOURS[flavour], sets=(value,))


def test_a_database_is_in_place_of_a_volume(programs: Programs) -> None:
    """There is no claim; by default two servers serve, and none is stopped before the next does."""
    manifests = programs.render(*FLAVOURS["postgresql"])
    kinds = {manifest["kind"] for manifest in manifests}
    assert not {"StatefulSet", "PersistentVolumeClaim"} & kinds
    deployment = one(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = deployment["template"]["spec"]
    assert "volumes" not in pod
    assert pod["terminationGracePeriodSeconds"] == 60
    assert "clusterIP" not in one(manifests, "Service")["spec"]
    (single,) = (
        each
        for each in programs.render(*FLAVOURS["postgresql"], sets=("replicas=1",))
        if each["kind"] == "Deployment"
    )
    assert single["spec"]["replicas"] == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_knows_its_node(programs: Programs, flavour: str) -> None:
    (container,) = pod_of(programs.render(*FLAVOURS[flavour]))["spec"]["containers"]
    node = {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert {"name": "WATCHER_NODE", "valueFrom": node} in container["env"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_values_of_0_1_0_are_enough(programs: Programs, tmp_path: Path, flavour: str) -> None:
    """A release of it is upgraded with ``--reuse-values``, which keeps its values alone."""
    show = ["git", "show", f"{FORMER}:deploy/helm/watcher/values.yaml"]
    former = subprocess.run(show, cwd=PROJECT, check=True, capture_output=True).stdout
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    (chart / "values.yaml").write_bytes(former)
    flags = value_flags(FLAVOURS[flavour])
    found = documents(programs.run("helm", "template", "watcher", chart, *flags))
    wanted = documents(programs.run("helm", "template", "watcher", CHART, *flags))
    for manifests in (found, wanted):
        pod = workload_of(manifests)["spec"]["template"]["spec"]
        del pod["terminationGracePeriodSeconds"]
        pod["containers"][0]["livenessProbe"].pop("terminationGracePeriodSeconds", None)
    assert found == wanted


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_that_hangs_is_not_given_time_to_stop(programs: Programs, flavour: str) -> None:
    pod = pod_of(programs.render(*FLAVOURS[flavour]))["spec"]
    (container,) = pod["containers"]
    grace_s = container["livenessProbe"]["terminationGracePeriodSeconds"]
    assert grace_s < pod["terminationGracePeriodSeconds"]


def test_a_probe_of_the_users_own_stays(programs: Programs) -> None:
    """With a database only the probe of gRPC is replaced, with its periods."""
    own = ("grpc=null", "httpGet.path=/x", "httpGet.port=http")
    sets = tuple(f"readinessProbe.{value}" for value in own)
    (container,) = pod_of(programs.render(*FLAVOURS["postgresql"], sets=sets))["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/x"
    (container,) = pod_of(programs.render(*FLAVOURS["postgresql"]))["spec"]["containers"]
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/readyz", "port": "http"},
        "periodSeconds": 5,
        "timeoutSeconds": 5,
    }


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("alow.directories={/data}", "additional properties 'alow' not allowed"),
        ("allow.directory=/data", "'/allow': additional properties 'directory' not allowed"),
        ("allow.directories=/data", "'/allow/directories': got string, want array"),
        ("allow.directories={data}", "'/allow/directories/0': 'data' does not match pattern"),
        (
            "allow.endpoints={minio:9000}",
            "'/allow/endpoints/0': 'minio:9000' does not match pattern",
        ),
        ("persistence.enabled=no", "'/persistence/enabled': got string, want boolean"),
        ("persistence.accessMode=ReadOnlyMany", "'/persistence/accessMode': value must be one of"),
        ("service.port=0", "'/service/port': minimum: got 0, want 1"),
        ("image.pullPolicy=Sometimes", "'/image/pullPolicy': value must be one of"),
        (
            "serviceAccount.annotations.arn=1",
            "'/serviceAccount/annotations/arn': got number, want string",
        ),
        ("tokens.values.a:b=secret", "'/tokens/values': additional properties 'a:b' not allowed"),
    ],
)
def test_mistakes_are_refused(programs: Programs, mistake: str, message: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(message)):
        programs.render(*FLAVOURS["volume"], sets=(mistake,))


def test_schema_has_the_values_that_there_are() -> None:
    def paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for key, value in values.items():
            yield from [(*path, key)] if (*path, key) in LEAVES else paths(value, (*path, key))

    assert sorted(paths(VALUES)) == LEAVES


@pytest.mark.parametrize(
    ("release", "name"),
    [("watcher", "watcher"), ("my-watcher", "my-watcher"), ("orders", "orders-watcher")],
)
def test_names_are_the_releases(programs: Programs, release: str, name: str) -> None:
    """The service has the release's name, with the chart's unless it is part of it."""
    service = one(programs.render(*FLAVOURS["volume"], release=release), "Service")
    assert service["metadata"]["name"] == name


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_has_an_effect(
    programs: Programs, tmp_path: Path, path: tuple[str, ...]
) -> None:
    values = yaml.safe_load(EVERYTHING.read_text())
    if path in NEEDS_DATABASE or path[0] == "state":
        values |= yaml.safe_load(DATABASE.read_text())
    if path not in NEEDS_DATABASE:
        values.pop("replicas", None)
    if path in APART:
        values[path[0]] |= APART[path]
    assert at(values, path) != at(VALUES, path), "everything.yaml has the default"
    with_it, without_it = tmp_path / "with.json", tmp_path / "without.json"
    with_it.write_text(json.dumps(values))
    without_it.write_text(json.dumps(without(values, path)))
    assert programs.render(with_it) != programs.render(without_it)


def test_readme_names_the_values() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.*?) \| \S.* \|$", (CHART / "README.md").read_text(), re.MULTILINE
    )
    defaults = {path: json.dumps(at(VALUES, path)) for path in LEAVES}
    shown = {
        ".".join(path): f"`{text}`" if len(text) <= SHORT else "[values.yaml](values.yaml)"
        for path, text in defaults.items()
    }
    assert dict(rows) == shown
    assert len(rows) == len(shown)


def test_versions_are_the_servers() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_server_starts_as_the_chart_says(
    programs: Programs, start_server: StartServer, tmp_path: Path
) -> None:
    """The server accepts the chart's arguments and token file, and answers its probes."""
    manifests = programs.render(EVERYTHING)
    pod = one(manifests, "StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    tokens = tmp_path / "tokens"
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "tokens")
    (item,) = volume["secret"]["items"]
    secret = one(manifests, "Secret")
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    tokens.write_text(secret["stringData"][item["key"]])
    serve, *flags = (
        argument.replace("/etc/watcher/tokens", str(tokens)) for argument in container["args"]
    )
    assert serve == "serve"
    server = start_server(*flags)
    for probe in ("startupProbe", "livenessProbe"):
        assert server.get(container[probe]["httpGet"]["path"])[0] == 200
    subprocess.run(
        [sys.executable, "-m", "watcher", "healthcheck", "--server", server.address], check=True
    )


def test_notes_say_where_the_state_is(programs: Programs) -> None:
    def notes(*sets: str) -> str:
        flags = ("--dry-run=client", *value_flags(FLAVOURS["postgresql"], sets))
        return programs.run("helm", "install", "watcher", CHART, *flags).partition("NOTES:")[2]

    assert "2 servers share the watches, whose state is in the database of the secret" in notes()
    lost = "Its state is lost with its pod"
    assert lost not in notes("persistence.enabled=false")
    assert lost in notes("persistence.enabled=false", "state.postgresql.existingSecret=")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_notes_hold_an_event_source(programs: Programs, flavour: str) -> None:
    """Helm's notes have an EventSource with the service's address and a valid configuration."""
    flags = ("--namespace=argo-events", "--dry-run=client", *value_flags(FLAVOURS[flavour]))
    notes = programs.run("helm", "install", "watcher", CHART, *flags).partition("NOTES:")[2]
    (text,) = re.findall(r"^  spec:\n(?:    .*\n)+", notes, re.MULTILINE)
    spec = yaml.safe_load(text)["spec"]
    example = yaml.safe_load((PROJECT / "examples/volume/eventsource.yaml").read_text())
    context = spec["template"]["securityContext"]
    assert context == example["spec"]["template"]["securityContext"]
    source = spec["generic"]["example"]
    assert source["url"] == "watcher.argo-events.svc:8080"
    assert ("authSecret" in source) == (flavour == "tokens")
    parse_spec(source["config"].encode())
