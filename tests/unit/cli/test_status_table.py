"""What ``watcher status`` shows on terminals of any size, and prints into a pipe."""

from __future__ import annotations

import re
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from watcher.cli.status import StatusSnapshot
from watcher.cli.status_table import _board, print_board

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLACE = "s3://landing/in/?endpoint=http://minio.storage.svc:9000"
NOTE = "the bucket cannot be reached: connection refused; check endpoint_url, and that the store is running"
ORDERS: Mapping[str, Any] = {
    "name": "orders", "place": PLACE, "state": "unavailable", "mode": "poll", "entries": 1_234_567, "rate": 12.0, "unconfirmed": 100_000,
    "lag_s": 3000.0, "streams": 12, "error": NOTE, "note": NOTE,
}  # fmt: skip
CALM: Mapping[str, Any] = {**ORDERS, "name": "calm", "state": "watching", "error": "", "note": ""}
CHANGE: Mapping[str, Any] = {
    "watch": "orders",
    "at": time.time(),
    "seq": 1,
    "type": "created",
    "path": "a.csv",
    "old_path": "",
    "size": 6,
}
COLUMNS = [
    "NAME",
    "PLACE",
    "STATE",
    "MODE",
    "ENTRIES",
    "RATE",
    "UNCONFIRMED",
    "LAG",
    "LAST SCAN",
    "STREAMS",
    "NOTE",
]


def standing(
    *watches: Mapping[str, Any], recent: Sequence[Mapping[str, Any]] = (), problem: str = ""
) -> StatusSnapshot:
    """Return how things stand, as a server tells it."""
    return StatusSnapshot({"watches": watches, "recent": recent, "problem": problem}, watches)


def show(shown: StatusSnapshot, width: int, height: int = 24) -> list[str]:
    """Return what ``status --watch`` shows on a terminal, line by line; it fits."""
    console = Console(
        file=StringIO(), force_terminal=True, color_system=None, width=width, height=height
    )
    with console.capture() as capture:
        console.print(_board(shown, console))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    return lines


def split(line: str) -> list[str]:
    """Return what stands in the columns of a line."""
    return re.split(r" {2,}", line.strip())


@pytest.mark.parametrize(
    ("width", "dropped"),
    [
        (300, set()),
        (200, {"NOTE"}),
        (120, {"NOTE", "PLACE"}),
        (80, {"NOTE", "PLACE", "LAST SCAN", "MODE", "RATE"}),
        (
            40,
            {
                "NOTE",
                "PLACE",
                "LAST SCAN",
                "MODE",
                "RATE",
                "LAG",
                "STREAMS",
                "ENTRIES",
                "UNCONFIRMED",
            },
        ),
    ],
)
def test_columns_that_fit(width: int, dropped: set[str]) -> None:
    """The narrower a terminal, the fewer columns; none is cut, and place and note are read in full below where they have none."""
    values = dict(
        zip(
            COLUMNS,
            [
                "orders",
                PLACE,
                "unavailable",
                "poll",
                "1234567",
                "12/s",
                "100000",
                "50 min",
                "10 min ago",
                "12",
                NOTE,
            ],
            strict=True,
        )
    )
    _, head, first, *rest = show(standing({**ORDERS, "scanned_at": time.time() - 600}), width)
    assert split(head) == [title for title in COLUMNS if title not in dropped]
    assert split(first) == [values[title] for title in COLUMNS if title not in dropped]
    below = "".join(line for line in rest if line.startswith("  ")).replace(" ", "")
    assert below == "".join(
        values[title] for title in ("PLACE", "NOTE") if title in dropped
    ).replace(" ", "")


def test_a_long_name_is_cut_before_columns_are() -> None:
    """A name takes what the columns leave, and is cut where that is not enough; printed once, it is not cut."""
    long = {**CALM, "name": "n" * 90}
    assert split(show(standing(long), 80)[2])[:2] == ["n" * 25 + "…", "watching"]
    assert "n" * 90 in show(standing(long), 240)[2]


def test_watches_that_do_not_fit() -> None:
    """Watches in trouble come first; how many do not fit is told, and the newest changes keep their place."""
    watches = [{**CALM, "name": f"calm-{number}"} for number in range(100)]
    lines = show(standing(*watches, ORDERS, recent=[CHANGE] * 50, problem="the disk is full"), 80)
    assert lines[1] == "the disk is full"
    assert lines[3].startswith("orders ")
    shown = sum(" watching " in line for line in lines)
    assert shown >= 3
    assert f"; {100 - shown} more watches do not fit" in lines[0]
    assert sum("orders: a.csv" in line for line in lines) == 8


def test_changes_have_their_date() -> None:
    """A change of another day is told with its date, so that it is not taken for one of today."""
    now = time.time()
    *_, today, before = show(
        standing(CALM, recent=[{**CHANGE, "at": now}, {**CHANGE, "at": now - 86_400 * 2}]), 80
    )
    assert today == f"{time.strftime('%H:%M:%S', time.localtime(now))}  created   orders: a.csv"
    assert (
        before
        == f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now - 86_400 * 2))}  created   orders: a.csv"
    )


def test_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that reads on finds the problem first, and each watch with all that is known in a line of its own, escaped."""
    print_board(standing(ORDERS, {"name": "\x1b[2J\n"}, problem="the disk is full\n"))
    problem, head, first, second = capsys.readouterr().out.splitlines()
    assert problem == "the disk is full\\n"
    assert split(head) == COLUMNS
    assert split(first)[1::9] == [PLACE, NOTE]
    assert split(second) == ["\\x1b[2J\\n", *"-" * 10]


def test_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the problem is red, and long names and texts are left to the terminal to wrap."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    print_board(
        standing({**ORDERS, "name": "n" * 90, "place": "p" * 90}, problem="the disk is full")
    )
    text = capsys.readouterr().out
    assert text.startswith("\x1b[31mthe disk is full\x1b[0m\n")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert plain.splitlines()[2:] == [f"{'n' * 90}  unavailable", f"  {'p' * 90}", f"  {NOTE}"]


def test_no_watches(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is watched a line says so, printed once or again and again."""
    print_board(standing())
    assert capsys.readouterr().out == "no watches\n"
    assert show(standing(recent=[CHANGE]), 80)[1] == "no watches"
