"""The metrics: the manual has all of them, and whoever draws or alerts by them names none that is not there."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.client import Client
from support.project import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.client import Contract
    from support.server import ServerProcess

ROW = re.compile(r"^\| `(watcher_\w+)` \| (\w+) \| (?:`(.+)`)? ?\| (.+) \|$", re.MULTILINE)
HELP = re.compile(r"^# HELP (watcher_\w+) (.+)$", re.MULTILINE)
FAMILY = re.compile(r"^# TYPE (watcher_\w+) (\w+)$", re.MULTILINE)
SAMPLE = re.compile(r"^(watcher_\w+)\{(.+)\} ", re.MULTILINE)
LABEL = re.compile(r'(\w+)="')
VALUE = re.compile(r'\b(?:cause|kind|mode|reason|state|type)="(\w+)"')
LOGGED = re.compile(
    r'(?:\(self\._log, level\)|\.(?:info|warning|error|exception))\(\s*"(\w+\.\w+)"'
)
TOLD = re.compile(r"^\| ((?:`\w+\.\w+`(?:, )?)+) \| (?:info|warning|error)", re.MULTILINE)
FILES = 300
MANUAL = PROJECT / "docs/operations.md"
BUILT_IN = re.compile(r"\b(?:process|python)_\w+")


class Metrics(NamedTuple):
    """What a server has.

    Attributes:
        families: The type of each metric.
        labels: The labels of those that have samples with labels.
        text: All of it.
    """

    families: dict[str, str]
    labels: dict[str, str]
    text: str


@pytest.fixture(scope="module")
def metrics(
    start_server: Callable[..., ServerProcess],
    contract: Contract,
    tmp_path_factory: pytest.TempPathFactory,
) -> Metrics:
    """Return the metrics of a server that has reported a change and refused a stream."""
    server, root = start_server(), tmp_path_factory.mktemp("root")
    with closing(Client(server.address, contract)) as client:
        stream = client.watch("orders", {"directory": str(root)})
        (root / "a").touch()
        stream.wait_count(1)
        client.refusal("orders", {"directory": f"{root}/none"})
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
    assert metrics.labels.keys() >= {
        "watcher_events_total",
        "watcher_place_errors_total",
        "watcher_stream_errors_total",
        "watcher_watches",
    }


def test_the_manual_has_every_value_of_a_label(metrics: Metrics) -> None:
    """Whatever a metric can be told apart by is there from the start, so that the first time counts, and in the manual."""
    manual = MANUAL.read_text(encoding="utf-8")
    values = set(VALUE.findall(metrics.text))
    assert values >= {
        "created",
        "notify",
        "paused",
        "denied",
        "limit",
        "journal_full",
        "notifications_lost",
    }
    assert {value for value in values if f"`{value}`" not in manual} == set()


def test_the_manual_has_every_line_of_the_log() -> None:
    """The manual's table has all that the server can log, and nothing else."""
    manual = MANUAL.read_text(encoding="utf-8")
    rows = {event for row in TOLD.findall(manual) for event in re.findall(r"`(.+?)`", row)}
    sources = (
        file.read_text(encoding="utf-8")
        for file in (PROJECT / "watcher").rglob("*.py")
        if file.parent.name not in {"cli", "_proto"}
    )
    assert rows == {event for source in sources for event in LOGGED.findall(source)}


def test_no_line_is_about_a_file(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
) -> None:
    """Hundreds of files that come, change and go are told to the stream, and leave no line in the log."""
    server = start_server()
    stream = connect(server).watch(name, {"directory": str(root)})
    before = server.log
    for number in range(FILES):
        (root / f"{number}").touch()
    stream.wait_count(FILES)
    for number in range(FILES):
        (root / f"{number}").unlink()
    stream.wait_count(2 * FILES)
    assert server.log == before


def test_whoever_stays_away_is_not_forgotten(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A watch that has ended for want of streams is counted, with the events that wait for one, also after a restart."""
    server = start_server("--idle-timeout", "1s", directory=tmp_path)
    stream = connect(server).watch(name, {"directory": str(root)})
    (root / "a").touch()
    stream.wait_count(1)
    stream.cancel()
    server.wait_no_watches()
    assert [line["unconfirmed"] for line in server.lines("watch.idle")] == [1]
    (idle,) = json.loads(server.get("/status.json")[1])["idle"]
    assert (idle["name"], idle["state"], idle["unconfirmed"], idle["note"]) == (
        name,
        "idle",
        1,
        "1 events wait for a stream",
    )
    assert idle["note"] in server.get("/")[1]
    counted = "\nwatcher_idle_watches 1.0\n", "\nwatcher_idle_unconfirmed_events 1.0\n"
    assert all(line in server.get("/metrics")[1] for line in counted)
    assert server.stop() == 0
    server = start_server(
        "--redelivery-window", "100ms", "--idle-timeout", "1s", directory=tmp_path
    )
    assert all(line in server.get("/metrics")[1] for line in counted)
    stream = connect(server).watch(name, {"directory": str(root)})
    assert "\nwatcher_idle_watches 0.0\n" in server.get("/metrics")[1]
    server.wait_confirmed(name, 1)
    stream.cancel()
    server.wait_no_watches()
    assert "\nwatcher_idle_unconfirmed_events 0.0\n" in server.get("/metrics")[1]


def test_numbers(metrics: Metrics) -> None:
    """The metrics of a small server are what has happened there."""
    for line in (
        "watcher_ready 1.0",
        "watcher_streams 1.0",
        "watcher_entries 1.0",
        "watcher_unconfirmed_events 1.0",
        "watcher_watch_descriptors 1.0",
        "watcher_unavailable_watches 0.0",
        'watcher_events_total{type="created"} 1.0',
        'watcher_events_total{type="deleted"} 0.0',
        'watcher_place_errors_total{cause="not_found"} 1.0',
        'watcher_stream_errors_total{cause="not_found"} 1.0',
        'watcher_scan_duration_seconds_bucket{le="+Inf"} 1.0',
        "watcher_list_requests_total 0.0",
    ):
        assert f"\n{line}\n" in metrics.text, metrics.text


@pytest.mark.parametrize("file", ["watcher-dashboard.json", "watcher-alerts.yaml"])
def test_whoever_names_a_metric_names_one_that_exists(metrics: Metrics, file: str) -> None:
    """Every metric in the dashboard and in the rules is one of a running server."""
    text = (PROJECT / "deploy" / "monitoring" / file).read_text(encoding="utf-8")
    expressions = "\n".join(re.findall(r'^ *"?expr"?: (.+)$', text, re.MULTILINE))
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\bwatcher_\w+", expressions)}
    assert len(named) > 8
    assert named <= metrics.families.keys()
    assert all(f"\n{name}" in metrics.text for name in BUILT_IN.findall(expressions))
