"""Metrics and log events: the manual has them all; dashboard and alerts name existing ones."""

import re
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from support.client import Client, Contract
from support.config import config
from support.files import touch
from support.fixtures import Serve, StartServer
from support.project import PROJECT
from support.server import IS_PORTABLE, ServerProcess

ROW = re.compile(r"^\| `(watcher_\w+)` \| (\w+) \| (?:`(.+)`)? ?\| (.+) \|$", re.MULTILINE)
HELP = re.compile(r"^# HELP (watcher_\w+) (.+)$", re.MULTILINE)
FAMILY = re.compile(r"^# TYPE (watcher_\w+) (\w+)$", re.MULTILINE)
SAMPLE = re.compile(r"^(watcher_\w+)\{(.+)\} ", re.MULTILINE)
LABEL = re.compile(r'(\w+)="')
VALUE = re.compile(r'\b(?:cause|kind|mode|reason|state|type)="(\w+)"')
LOGGED = re.compile(
    r"(?:\(self\._log, level\)|\blog|\._log_once|\.(?:info|warning|error|exception))"
    r'\(\s*"(\w+\.\w+)"'
)
TOLD = re.compile(r"^\| ((?:`\w+\.\w+`(?:, )?)+) \| (?:info|warning|error)", re.MULTILINE)
FILES = 300
NOTE = "1 events wait for a stream"
MANUAL = PROJECT / "docs/operations.md"
BUILT_IN = re.compile(r"\b(?:process|python)_\w+")


class Metrics(NamedTuple):
    """The types of metrics, and the labels of those that have any, by name; and the whole page."""

    families: dict[str, str]
    labels: dict[str, str]
    text: str


@pytest.fixture(scope="module")
def metrics(
    start_server: StartServer, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Metrics:
    """Return the metrics of a server that has reported a change and refused a stream."""
    server, root = start_server(), tmp_path_factory.mktemp("root")
    with closing(Client(server.address, contract)) as client:
        stream = client.watch("orders", config(root))
        (root / "a").touch()
        stream.wait_count(1)
        watch = server.watches()["orders"]
        described = (watch["place"], watch["streams"], watch["entries"], watch["events"])
        assert described == (f"file://{root}", 1, 1, {"created": 1})
        assert (server.status()["streams"], "orders" in server.get("/")[1]) == (1, True)
        client.refusal("orders", config(root / "none"))
        text = server.get("/metrics")[1]
    assert str(root) not in text
    labels = {
        name: "`, `".join(LABEL.findall(shown))
        for name, shown in SAMPLE.findall(text)
        if not name.endswith("_bucket")
    }
    return Metrics(dict(FAMILY.findall(text)), labels, text)


def test_the_manual_has_every_metric(metrics: Metrics) -> None:
    """Names, types, labels and meanings in the manual's table are those of a running server."""
    rows = ROW.findall(MANUAL.read_text(encoding="utf-8"))
    assert {name: kind for name, kind, *_ in rows} == metrics.families
    assert {name: meaning for name, *_, meaning in rows} == dict(HELP.findall(metrics.text))
    assert {name: labels for name, _, labels, _ in rows if name in metrics.labels} == metrics.labels
    labelled = ("events_total", "place_errors_total", "stream_errors_total", "watches")
    assert metrics.labels.keys() >= {f"watcher_{name}" for name in labelled}


def test_the_manual_has_every_value_of_a_label(metrics: Metrics) -> None:
    """All values of labels are in the manual, and exported from the start, so that rates work."""
    manual = MANUAL.read_text(encoding="utf-8")
    values = set(VALUE.findall(metrics.text))
    assert values >= {"created", "notify", "paused", "denied", "limit"}
    assert values >= {"journal_full", "notifications_lost"}
    assert {value for value in values if f"`{value}`" not in manual} == set()


def test_the_manual_has_every_line_of_the_log() -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    rows = {event for row in TOLD.findall(manual) for event in re.findall(r"`(.+?)`", row)}
    sources = (
        file.read_text(encoding="utf-8")
        for file in (PROJECT / "watcher").rglob("*.py")
        if file.parent.name != "cli" or file.name == "serve.py"
    )
    assert rows == {event for source in sources for event in LOGGED.findall(source)}


def test_no_line_is_about_a_file(serve: Serve, root: Path, name: str) -> None:
    server, client = serve()
    stream = client.watch(name, config(root))
    # What is logged of the watch itself comes before its first event.
    (root / "first").touch()
    stream.wait_count(1)
    before = server.log
    touch(root, FILES)
    stream.wait_count(1 + FILES)
    for file in root.iterdir():
        file.unlink()
    stream.wait_count(2 * (1 + FILES))
    assert server.log == before


def test_idle_watches_are_counted(serve: Serve, root: Path, name: str) -> None:
    """A watch that has ended without streams is counted, with its events, also after a restart."""
    server, client = serve("--idle-timeout", "1s")
    stream = client.watch(name, config(root))
    (root / "a").touch()
    stream.wait_count(1)
    stream.cancel()
    server.wait_no_watches()
    assert [line["unconfirmed"] for line in server.wait_logged("watch.idle")] == [1]
    (idle,) = server.status()["idle"]
    expected = {"name": name, "state": "idle", "unconfirmed": 1, "note": NOTE}
    assert idle.items() >= expected.items()
    assert NOTE in server.get("/")[1]
    assert counted(server) == (1, 1)
    assert server.stop() == 0
    server, client = serve("--redelivery-window", "100ms", "--idle-timeout", "1s")
    assert counted(server) == (1, 1)
    stream = client.watch(name, config(root))
    assert counted(server)[0] == 0
    server.wait_confirmed(name, 1)
    stream.cancel()
    server.wait_no_watches()
    assert counted(server)[1] == 0


def counted(server: ServerProcess) -> tuple[float, float]:
    """Return the metrics of idle watches, and of their events."""
    names = ("watcher_idle_watches", "watcher_idle_unconfirmed_events")
    return server.metric(names[0]), server.metric(names[1])


def test_numbers(metrics: Metrics) -> None:
    for line in (
        "watcher_ready 1.0",
        "watcher_streams 1.0",
        "watcher_entries 1.0",
        "watcher_unconfirmed_events 1.0",
        f"watcher_watch_descriptors {0.0 if IS_PORTABLE else 1.0}",
        "watcher_unavailable_watches 0.0",
        'watcher_watches{mode="notify",state="watching"} 1.0',
        'watcher_events_total{type="created"} 1.0',
        'watcher_events_total{type="deleted"} 0.0',
        'watcher_place_errors_total{cause="not_found"} 1.0',
        'watcher_stream_errors_total{cause="not_found"} 1.0',
        'watcher_scan_duration_seconds_bucket{le="+Inf"} 1.0',
        "watcher_list_requests_total 0.0",
        'watcher_state_errors_total{kind="away"} 0.0',
        'watcher_state_errors_total{kind="failed"} 0.0',
    ):
        assert f"\n{line}\n" in metrics.text, metrics.text
    steps = re.search(r"^watcher_state_seconds_count (\S+)$", metrics.text, re.MULTILINE)
    assert steps is not None
    # The watch was opened, its first scan was recorded, and a change was found.
    assert float(steps[1]) >= 3


@pytest.mark.parametrize("file", ["watcher-dashboard.json", "watcher-alerts.yaml"])
def test_dashboard_and_alerts_name_existing_metrics(metrics: Metrics, file: str) -> None:
    text = (PROJECT / "deploy" / "monitoring" / file).read_text(encoding="utf-8")
    expressions = "\n".join(re.findall(r'^ *"?expr"?: (.+)$', text, re.MULTILINE))
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bwatcher_\w+", expressions)}
    assert len(named) > 8
    assert named <= metrics.families.keys()
    assert all(f"\n{name}" in metrics.text for name in BUILT_IN.findall(expressions))
