"""Prints how the watches of a server stand, once or again and again. Names and paths are hostile: what steers a terminal is escaped."""

from __future__ import annotations

import time
from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from watcher.cli.columns import Column, fit, join
from watcher.cli.output import COLOURS
from watcher.errors import WatcherError
from watcher.formatting import human_age, human_rate, human_time, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.cli.status import StatusSnapshot

PERIOD_S = 1.0
SHOWN_CHANGES = 10
SHOWN_LINES = 3
"""So many lines or so are shown of a text that is too long for one."""

_INDENT = "  "
_NOTHING = "-"
_STATES = {
    "watching": "green",
    "scanning": "green",
    "unavailable": "red",
    "paused": "yellow",
    "stopped": "red",
}
_COLUMNS = (
    Column("NAME", 0, 20, may_cut=True),
    Column("PLACE", 9),
    Column("STATE", 0, 11),
    Column("MODE", 7, 6),
    Column("ENTRIES", 2, 9, "right"),
    Column("RATE", 6, 6, "right"),
    Column("UNCONFIRMED", 1, 11, "right"),
    Column("LAG", 4, 6, "right"),
    Column("LAST SCAN", 8, 10),
    Column("STREAMS", 3, 7, "right"),
    Column("NOTE", 10),
)
_LONG = ("PLACE", "NOTE")
"""These stand below a watch where there is no room beside it."""
_HEAD = {column.title: Text(column.title, style="bold") for column in _COLUMNS}


def print_board(standing: StatusSnapshot) -> None:
    """Print the watches as a table, below what keeps the server from its work; nothing is cut."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # All columns stand in one line for a program that reads on.
        console.width = 1 << 16
    lines = [Text(printable(standing.problem), style="red")] if standing.problem else []
    for line, below in _blocks(standing.watches, console.width, may_cut=False):
        lines += [line, *map(_indented, below)]
    console.print(*lines, sep="\n", soft_wrap=True)


def follow_board(read: Callable[[], StatusSnapshot]) -> None:
    """Show the watches and the newest changes, again every second, until Ctrl-C; a server that is away meanwhile is waited for.

    Args:
        read: Returns how things stand.

    Raises:
        WatcherError: They could not be read even once.
    """
    console = Console(highlight=False)
    board = _board(read(), console)
    try:
        with Live(board, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(PERIOD_S)
                try:
                    board = _board(read(), console)
                    live.update(board, refresh=True)
                except WatcherError as error:
                    live.update(
                        Group(Text(printable(str(error)), style="red"), board), refresh=True
                    )
    except KeyboardInterrupt:
        return


def _board(standing: StatusSnapshot, console: Console) -> RenderableType:
    """Return what fits the screen: watches in trouble first, and changes below."""
    problem = (
        _wrapped(Text(printable(standing.problem), style="red"), console)
        if standing.problem
        else []
    )
    changes = [
        _change(change) for change in standing.recent[: min(SHOWN_CHANGES, console.height // 3)]
    ]
    watches = sorted(standing.watches, key=lambda watch: not watch.get("note"))
    blocks = [
        [line, *(_indented(part) for text in below for part in _wrapped(text, console))]
        for line, below in _blocks(watches[: console.height], console.width, may_cut=True)
    ]
    room = console.height - len(problem) - len(changes) - 2
    fitting = max(2, bisect_right(list(accumulate(map(len, blocks))), room))
    left = len(watches) - len(blocks[1:fitting])
    more = f"; {left:,} more watches do not fit" if left else ""
    top = Text(f"{time.strftime('%H:%M:%S')}  stop with Ctrl-C{more}", style="dim")
    return Group(top, *problem, *chain.from_iterable(blocks[:fitting]), Text(), *changes)


def _blocks(
    watches: Sequence[Mapping[str, Any]], width: int, *, may_cut: bool
) -> list[tuple[Text, list[Text]]]:
    """Return the head of the table, then each watch: its line, and the texts that stand below it."""
    if not watches:
        return [(Text("no watches"), [])]
    rows = [_row(watch) for watch in watches]
    widths = fit(_COLUMNS, [_HEAD, *rows], width, may_cut=may_cut)
    below = [title for title in _LONG if title not in {column.title for column in widths}]
    return [
        (join(_HEAD, widths), []),
        *(
            (join(row, widths), [row[title] for title in below if row[title].plain != _NOTHING])
            for row in rows
        ),
    ]


def _row(watch: Mapping[str, Any]) -> dict[str, Text]:
    # A state file alone does not know all of it, and a server of another version not all of this.
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
        "LAST SCAN": f"{human_age(time.time() - scanned_at)} ago" if scanned_at else "",
        "STREAMS": watch.get("streams", ""),
        "NOTE": watch.get("note", ""),
    }
    styles = {
        "PLACE": "dim",
        "STATE": _STATES.get(values["STATE"], ""),
        "NOTE": "red" if watch.get("error") else "yellow",
    }
    return {
        title: Text(printable(str(value)) or _NOTHING, style=styles.get(title, ""))
        for title, value in values.items()
    }


def _change(change: Mapping[str, Any]) -> Text:
    moment, now = (
        datetime.fromtimestamp(at, UTC).astimezone() for at in (change["at"], time.time())
    )
    line = Text(f"{human_time(moment, now)}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{change['type']:<8}", style=COLOURS.get(change["type"], ""))
    line.append(f"  {printable(change['watch'])}: {printable(change['path'])}")
    if change["old_path"]:
        line.append(f"  <- {printable(change['old_path'])}", style="dim")
    return line


def _wrapped(text: Text, console: Console) -> list[Text]:
    """Return a text in lines that fit the screen, indented or not."""
    width = console.width - len(_INDENT)
    cut = text.copy()
    cut.truncate(SHOWN_LINES * width, overflow="ellipsis")
    return list(cut.wrap(console, width))


def _indented(text: Text) -> Text:
    return Text(_INDENT).append_text(text)
