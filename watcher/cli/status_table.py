"""Prints a snapshot as a table, once or every second. Names and paths are hostile: escaped."""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from watcher.cli.output import COLOURS
from watcher.errors import WatcherError
from watcher.formatting import human_age, human_rate, human_time, printable, waiting_groups
from watcher.status_values import PartStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.cli.snapshot import StatusSnapshot
    from watcher.clock import Clock

INTERVAL_S = 1.0
MAX_CHANGES = 10
"""Maximum number of changes below the table; on a low terminal a third of its lines."""

MAX_LINES = 3
"""Maximum number of lines of a place or note that stands below its watch."""

_LOAD = ("watches", "entries", "streams")
"""What is said of each server."""

_PIPE_WIDTH = 1 << 16
_GAP = 2
_INDENT = "  "
_NOTHING = "-"
_STATES = {
    "watching": "green",
    "scanning": "green",
    "unavailable": "red",
    "paused": "yellow",
    "stopped": "red",
}


@dataclass(frozen=True, slots=True)
class _Column:
    """One column.

    Attributes:
        title: Its head.
        rank: Order in which a narrow terminal loses columns, highest first; 0 stays.
        width: Minimum width in cells, so that columns do not move with their values.
        justify: Side of the values.
    """

    title: str
    rank: int
    width: int = 0
    justify: Literal["left", "right"] = "left"


_NAME = _Column("NAME", 0, 20)
_SERVER = _Column("SERVER", 5)
"""Which server owns a watch; shown where servers share the state."""
_COLUMNS = (
    _NAME,
    _Column("PLACE", 9),
    _Column("STATE", 0, 11),
    _Column("MODE", 7, 6),
    _Column("ENTRIES", 2, 9, "right"),
    _Column("RATE", 6, 6, "right"),
    _Column("UNCONFIRMED", 1, 11, "right"),
    _Column("LAG", 4, 6, "right"),
    _Column("LAST SCAN", 8, 10),
    _Column("STREAMS", 3, 7, "right"),
    _SERVER,
    _Column("NOTE", 10),
)
_LONG = ("PLACE", "NOTE")
"""Columns whose values stand below a watch if the terminal is too narrow for them."""


def print_table(snapshot: StatusSnapshot, clock: Clock) -> None:
    """Print the server's problem and the watches; nothing is cut, and a pipe gets all columns."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    lines = _server_lines(snapshot, clock)
    for line, below in _blocks(snapshot.watches, console, clock, may_cut=False):
        lines += [line, *map(_indented, below)]
    console.print(*lines, sep="\n", soft_wrap=True)


def _server_lines(snapshot: StatusSnapshot, clock: Clock) -> list[Text]:
    """Return why the server cannot do its work, and the servers that share the state."""
    lines = [Text(printable(snapshot.problem), style="red")] if snapshot.problem else []
    now = datetime.fromtimestamp(clock.wall(), UTC)
    for server in snapshot.servers:
        where = f" on {server['node']}" if server.get("node") else ""
        since = human_time(datetime.fromtimestamp(server.get("started_at", 0.0), UTC), now)
        leaving = ", leaving" if server.get("is_leaving") else ""
        load = ", ".join(f"{server.get(what, 0):,} {what}" for what in _LOAD)
        text = f"{server.get('name', '')}{where}, since {since} UTC: {load}{leaving}"
        lines.append(Text(printable(text), style="dim"))
    return lines


def follow_table(read: Callable[[], StatusSnapshot], clock: Clock) -> None:
    """Show watches and newest changes every second until Ctrl-C, also while the server is away.

    Args:
        read: Returns the current snapshot.
        clock: Time of the ages.

    Raises:
        WatcherError: The first snapshot cannot be read.
    """
    console = Console(highlight=False)
    screen = render_screen(read(), console, clock)
    try:
        with Live(screen, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(INTERVAL_S)
                try:
                    screen = render_screen(read(), console, clock)
                    live.update(screen, refresh=True)
                except WatcherError as error:
                    problem = Text(printable(str(error)), style="red")
                    live.update(Group(problem, screen), refresh=True)
    except KeyboardInterrupt:
        return


def render_screen(snapshot: StatusSnapshot, console: Console, clock: Clock) -> RenderableType:
    """Return what fits the screen: watches with notes first, and the newest changes below."""
    problem = [part for line in _server_lines(snapshot, clock) for part in _wrapped(line, console)]
    shown = snapshot.recent[: min(MAX_CHANGES, console.height // 3)]
    changes = [_change(change, clock) for change in shown]
    watches = sorted(snapshot.watches, key=lambda watch: not watch.get("note"))
    blocks = [
        [line, *(_indented(part) for text in below for part in _wrapped(text, console))]
        for line, below in _blocks(watches[: console.height], console, clock, may_cut=True)
    ]
    room = console.height - len(problem) - len(changes) - 2
    fitting = max(2, bisect_right(list(accumulate(map(len, blocks))), room))
    left = len(watches) - len(blocks[1:fitting])
    more = f"; {left:,} more watches do not fit" if left else ""
    now = datetime.fromtimestamp(clock.wall(), UTC).astimezone()
    top = Text(f"{now:%H:%M:%S}  stop with Ctrl-C{more}", style="dim")
    return Group(top, *problem, *chain.from_iterable(blocks[:fitting]), Text(), *changes)


def _blocks(
    watches: Sequence[Mapping[str, Any]], console: Console, clock: Clock, *, may_cut: bool
) -> list[tuple[Text, list[Text]]]:
    """Return the head of the table, then each watch: its line and the texts below it."""
    if not watches:
        return [(Text("no watches"), [])]
    rows = [_row(watch, clock) for watch in watches]
    columns = _fitting(rows, console.width, may_cut=may_cut)
    head, *lines = _table_lines(columns, rows, console, console.width if may_cut else _PIPE_WIDTH)
    below = [title for title in _LONG if title not in {column.title for column in columns}]
    return [
        (head, []),
        *(
            (
                line,
                [
                    *(row[title] for title in below if row[title].plain != _NOTHING),
                    *_hints(watch),
                    *_groups(watch, clock),
                    *_parts(watch),
                ],
            )
            for line, row, watch in zip(lines, rows, watches, strict=True)
        ),
    ]


def _fitting(rows: Sequence[Mapping[str, Text]], width: int, *, may_cut: bool) -> list[_Column]:
    """Return the columns that fit a width in cells; of names only the minimum must fit if cut."""
    shown = set()
    left = width + _GAP
    is_shared = any(row[_SERVER.title].plain != _NOTHING for row in rows)
    for column in sorted(_COLUMNS, key=lambda column: column.rank):
        if column is _SERVER and not is_shared:
            continue
        longest = max(len(column.title), *(row[column.title].cell_len for row in rows))
        is_cut = may_cut and column is _NAME
        left -= (column.width if is_cut else max(column.width, longest)) + _GAP
        if column.rank and left < 0:
            break
        shown.add(column)
    return [column for column in _COLUMNS if column in shown]


def _table_lines(
    columns: Sequence[_Column], rows: Sequence[Mapping[str, Text]], console: Console, width: int
) -> list[Text]:
    """Return a table as lines, its head first; names end with an ellipsis if they do not fit."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in columns:
        # Only a column that may wrap is narrowed; its texts are cut, as they do not wrap either.
        table.add_column(
            column.title,
            justify=column.justify,
            min_width=column.width,
            no_wrap=column is not _NAME,
        )
    for row in rows:
        table.add_row(*(row[column.title] for column in columns))
    lines = []
    for segments in console.render_lines(table, console.options.update_width(width)):
        line = Text.assemble(*((part.text, part.style or "") for part in segments))
        line.rstrip()
        lines.append(line)
    return lines


def _row(watch: Mapping[str, Any], clock: Clock) -> dict[str, Text]:
    # State files lack some values, and a server of another version may lack any.
    scanned_at, rate, lag_s = watch.get("scanned_at"), watch.get("rate"), watch.get("lag_s")
    values = {
        "NAME": watch.get("name", ""),
        "PLACE": watch.get("place", ""),
        "STATE": watch.get("state", ""),
        "MODE": watch.get("mode", ""),
        "ENTRIES": watch.get("entries", ""),
        "RATE": "" if rate is None else human_rate(rate),
        "UNCONFIRMED": watch.get("unconfirmed", ""),
        "LAG": human_age(lag_s) if lag_s else "",
        "LAST SCAN": f"{human_age(clock.wall() - scanned_at)} ago" if scanned_at else "",
        "STREAMS": watch.get("streams", ""),
        "SERVER": (watch.get("owner") or {}).get("name", ""),
        "NOTE": watch.get("note") or watch.get("waiting", ""),
    }
    styles = {
        "PLACE": "dim",
        "STATE": _STATES.get(values["STATE"], ""),
        "NOTE": "red" if watch.get("error") else "yellow" if watch.get("note") else "dim",
    }
    return {
        title: Text(
            printable(str(value)) or _NOTHING,
            style=styles.get(title, ""),
            no_wrap=True,
            overflow="ellipsis",
        )
        for title, value in values.items()
    }


def _hints(watch: Mapping[str, Any]) -> list[Text]:
    """Return a line about how hints arrive, if any are to."""
    line, hints = watch.get("hints_summary", ""), watch.get("hints") or {}
    style = "yellow" if hints.get("problem") else "dim"
    return [Text(printable(line), style=style, no_wrap=True, overflow="ellipsis")] if line else []


def _groups(watch: Mapping[str, Any], clock: Clock) -> list[Text]:
    """Return a line about the groups that have changed, if there are any."""
    groups = watch.get("groups") or {"count": 0, "first": ()}
    first = [(group["path"], group["until"]) for group in groups["first"]]
    line = waiting_groups(groups["count"], first, clock.wall())
    return [Text(printable(line), style="dim", no_wrap=True, overflow="ellipsis")] if line else []


def _parts(watch: Mapping[str, Any]) -> list[Text]:
    """Return a line for each mount below the watched directory."""
    return [
        Text(
            printable(str(PartStatus(**part))),
            style="yellow" if part["mode"] == "unread" else "dim",
            no_wrap=True,
            overflow="ellipsis",
        )
        for part in watch.get("parts", ())[1:]
    ]


def _change(change: Mapping[str, Any], clock: Clock) -> Text:
    moment, now = (
        datetime.fromtimestamp(at, UTC).astimezone() for at in (change["at"], clock.wall())
    )
    line = Text(f"{human_time(moment, now)}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{change['type']:<9}", style=COLOURS.get(change["type"], ""))
    line.append(f"  {printable(change['watch'])}: {printable(change['path'] or '.')}")
    if change["old_path"]:
        line.append(f"  <- {printable(change['old_path'])}", style="dim")
    return line


def _wrapped(text: Text, console: Console) -> list[Text]:
    """Return a text in lines that fit the screen, with or without an indent."""
    width = console.width - len(_INDENT)
    cut = text.copy()
    cut.truncate(MAX_LINES * width, overflow="ellipsis")
    cut.no_wrap, cut.overflow = False, "fold"
    return list(cut.wrap(console, width))


def _indented(text: Text) -> Text:
    return Text(_INDENT).append_text(text)
