"""The table of ``watcher status`` on terminals of any size, and in a pipe."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from support.clock import FakeClock
from watcher.cli.snapshot import StatusSnapshot
from watcher.cli.status_table import print_table, render_screen
from watcher.telemetry.recent_changes import Recent

CLOCK = FakeClock()
NOW = CLOCK.wall()
PLACE = "s3://landing/in/?endpoint=http://minio.storage.svc:9000"
NOTE = (
    "the bucket cannot be reached: connection refused; check endpoint_url, and that the store runs"
)
ORDERS: Mapping[str, Any] = {
    "name": "orders", "place": PLACE, "state": "unavailable", "mode": "poll", "entries": 1_234_567,
    "rate": 12.0, "unconfirmed": 100_000, "lag_s": 3000.0, "scanned_at": NOW - 600, "streams": 12,
    "error": NOTE, "note": NOTE,
}  # fmt: skip
CALM: Mapping[str, Any] = {**ORDERS, "name": "calm", "state": "watching", "error": "", "note": ""}
CHANGE: Mapping[str, Any] = asdict(Recent("orders", NOW, 1, "created", "a.csv", "", 6))
VALUES = {
    "NAME": "orders", "PLACE": PLACE, "STATE": "unavailable", "MODE": "poll", "ENTRIES": "1234567",
    "RATE": "12/s", "UNCONFIRMED": "100000", "LAG": "50 min", "LAST SCAN": "10 min ago",
    "STREAMS": "12", "NOTE": NOTE,
}  # fmt: skip


def snapshot(
    *watches: Mapping[str, Any], recent: Sequence[Mapping[str, Any]] = (), problem: str = ""
) -> StatusSnapshot:
    return StatusSnapshot({"watches": watches, "recent": recent, "problem": problem}, watches)


def show(shown: StatusSnapshot, width: int, height: int = 24) -> list[str]:
    """Return the lines of ``status --watch`` on a terminal; they must fit it."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=width, height=height)
    console.print(render_screen(shown, console, CLOCK))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    return lines


def split(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


@pytest.mark.parametrize(
    ("width", "dropped"),
    [
        (300, ""),
        (200, "NOTE"),
        (120, "NOTE PLACE"),
        (80, "NOTE PLACE SCAN MODE RATE"),
        (40, "NOTE PLACE SCAN MODE RATE LAG STREAMS ENTRIES UNCONFIRMED"),
    ],
)
def test_narrow_terminals_have_fewer_columns(width: int, dropped: str) -> None:
    """No column is cut; place and note stand in full below the watch if their column is dropped."""
    gone = [title for title in VALUES if title.split()[-1] in dropped.split()]
    _, head, first, *rest = show(snapshot(ORDERS), width)
    assert split(head) == [title for title in VALUES if title not in gone]
    assert split(first) == [value for title, value in VALUES.items() if title not in gone]
    below = "".join(line for line in rest if line.startswith("  ")).replace(" ", "")
    expected = "".join(VALUES[title] for title in ("PLACE", "NOTE") if title in gone)
    assert below == expected.replace(" ", "")


@pytest.mark.parametrize("width", range(34, 300, 7))
def test_columns_are_aligned_at_any_width(width: int) -> None:
    """The state begins below its title, also next to a name that is cut."""
    watches = [ORDERS, {**CALM, "name": "n" * 90, "scanned_at": 0, "rate": None}]
    _, head, *rest = show(snapshot(*watches), width)
    rows = [line for line in rest if re.match(r"orders|nnn", line)]
    assert [re.search("unavailable|watching", row) is not None for row in rows] == [True, True]
    for row, state in zip(rows, ("unavailable", "watching"), strict=True):
        assert row.index(state) == head.index("STATE")


def test_long_name_is_cut_before_columns_are_dropped() -> None:
    """A name gets the width that the columns leave, and ends with an ellipsis."""
    long = {**CALM, "name": "n" * 90}
    assert split(show(snapshot(long), 80)[2])[:2] == ["n" * 25 + "…", "watching"]
    assert "n" * 90 in show(snapshot(long), 240)[2]


def test_watches_that_do_not_fit_are_counted() -> None:
    """Watches with notes come first, and the newest changes keep their lines."""
    watches = [{**CALM, "name": f"calm-{number}"} for number in range(100)]
    lines = show(snapshot(*watches, ORDERS, recent=[CHANGE] * 50, problem="the disk is full"), 80)
    assert lines[1] == "the disk is full"
    assert lines[3].startswith("orders ")
    shown = sum(" watching " in line for line in lines)
    assert shown >= 3
    assert f"; {100 - shown} more watches do not fit" in lines[0]
    assert sum("orders: a.csv" in line for line in lines) == 8


def test_groups_stand_below_their_watch() -> None:
    groups = {"count": 1, "first": [{"path": "run", "until": NOW + 240}]}
    lines = show(snapshot({**CALM, "groups": groups}), 80)
    assert lines[4].strip() == "1 changed group waits: run (4 min)"


def test_older_changes_have_a_date() -> None:
    before = NOW - 86_400 * 2
    *_, first, second = show(snapshot(CALM, recent=[CHANGE, {**CHANGE, "at": before}]), 80)
    now, old = (datetime.fromtimestamp(at).astimezone() for at in (NOW, before))
    assert first == f"{now:%H:%M:%S}  created    orders: a.csv"
    assert second == f"{old:%Y-%m-%d %H:%M:%S}  created    orders: a.csv"


def test_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """The problem comes first, then each watch in one line with all columns, escaped."""
    print_table(snapshot(ORDERS, {"name": "\x1b[2J\n"}, problem="the disk is full\n"), CLOCK)
    problem, head, first, second = capsys.readouterr().out.splitlines()
    assert problem == "the disk is full\\n"
    assert split(head) == list(VALUES)
    assert split(first) == list(VALUES.values())
    assert split(second) == ["\\x1b[2J\\n", *"-" * 10]
    assert second == second.rstrip()


def test_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem is red, and the terminal wraps long names and texts."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    long = {**ORDERS, "name": "n" * 90, "place": "p" * 90}
    print_table(snapshot(long, problem="the disk is full"), CLOCK)
    text = capsys.readouterr().out
    assert text.startswith("\x1b[31mthe disk is full\x1b[0m\n")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert plain.splitlines()[2:] == [f"{'n' * 90}  unavailable", f"  {'p' * 90}", f"  {NOTE}"]


def test_no_watches(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(snapshot(), CLOCK)
    assert capsys.readouterr().out == "no watches\n"
    assert show(snapshot(recent=[CHANGE]), 80)[1] == "no watches"


def test_how_hints_arrive_stands_below_a_watch() -> None:
    """In full in a pipe; a server that knows of no hints has no line."""
    out = StringIO()
    line = "hints by stream: none arrive now; 3 messages with 2 keys"
    for watch in (CALM, {**CALM, "hints": {"problem": "away"}, "hints_summary": line}):
        Console(file=out, width=300).print(
            render_screen(snapshot(watch), Console(width=300), CLOCK)
        )
    assert out.getvalue().count(f"\n  {line}\n") == 1


def test_servers_that_share_the_state_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the owner of each watch; a server of another version may say less of itself."""
    first_server: Mapping[str, Any] = {
        "id": "1", "name": "web-1", "node": "node-a", "started_at": NOW - 60,
        "watches": 1_200, "entries": 34_000, "streams": 9, "is_leaving": False,
    }  # fmt: skip
    servers = [first_server, {"id": "2", "name": "web-\n2", "is_leaving": True}]
    owned = {**CALM, "owner": {"id": "1", "name": "web-1", "node": "node-a"}}
    watches = [owned, CALM]
    print_table(StatusSnapshot({"watches": watches, "servers": servers}, watches), CLOCK)
    first, second, head, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("web-1 on node-a, since ")
    assert first.endswith(" UTC: 1,200 watches, 34,000 entries, 9 streams")
    assert second.startswith("web-\\n2, since 1970-01-01 ")
    assert second.endswith(": 0 watches, 0 entries, 0 streams, leaving")
    place = split(head).index("SERVER")
    assert [split(row)[place] for row in rows] == ["web-1", "-"]


def test_a_server_that_is_alone_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    servers = [{"id": "", "name": "host", "node": ""}]
    print_table(StatusSnapshot({"watches": [CALM], "servers": servers}, [CALM]), CLOCK)
    head, _ = capsys.readouterr().out.splitlines()
    assert "SERVER" not in head
