"""Prints how the watches of a server stand, once or again and again. Names and paths are hostile: what steers a terminal is escaped."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from watcher.cli.lines import COLOURS
from watcher.errors import WatcherError
from watcher.text import human_age, human_rate, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.cli.status import Standing

PERIOD_S = 1.0
SHOWN_CHANGES = 10
_STATES = {"watching": "green", "scanning": "green", "unavailable": "red", "paused": "yellow", "stopped": "red"}
_COLUMNS = ("NAME", "PLACE", "STATE", "MODE", "ENTRIES", "RATE", "UNCONFIRMED", "LAG", "LAST SCAN", "STREAMS", "NOTE")
_NUMBERS = {"ENTRIES", "RATE", "UNCONFIRMED", "LAG", "STREAMS"}


def print_board(standing: Standing) -> None:
    """Print the watches as a table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is wrapped or cut for a program that reads on.
        console.width = 1 << 16
    console.print(_table(standing.watches))


def follow_board(read: Callable[[], Standing]) -> None:
    """Show the watches and the newest changes, again every second, until Ctrl-C; a server that is away meanwhile is waited for.

    Args:
        read: Returns how things stand.

    Raises:
        WatcherError: They could not be read even once.
    """
    console = Console(highlight=False)
    board = _board(read(), console.height)
    try:
        with Live(board, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(PERIOD_S)
                try:
                    board = _board(read(), console.height)
                    live.update(board, refresh=True)
                except WatcherError as error:
                    live.update(Group(Text(printable(str(error)), style="red"), board), refresh=True)
    except KeyboardInterrupt:
        return


def _board(standing: Standing, height: int) -> RenderableType:
    """Return what fits a screen of so many lines: watches in trouble first, and changes below."""
    changes = standing.recent[:SHOWN_CHANGES]
    watches = sorted(standing.watches, key=lambda watch: not watch.get("note"))
    shown = watches[: max(1, height - len(changes) - 5)]
    more = f"; {len(watches) - len(shown):,} more watches do not fit" if len(watches) > len(shown) else ""
    parts: list[RenderableType] = [Text(f"{time.strftime('%H:%M:%S')}  stop with Ctrl-C{more}", style="dim")]
    if standing.problem:
        parts.append(Text(printable(standing.problem), style="red"))
    parts += [_table(shown, no_wrap=True), Text(), *map(_change, changes)]
    return Group(*parts)


def _table(watches: Sequence[Mapping[str, Any]], *, no_wrap: bool = False) -> RenderableType:
    if not watches:
        return Text("no watches")
    table = Table(box=None, pad_edge=False)
    for title in _COLUMNS:
        table.add_column(
            title, justify="right" if title in _NUMBERS else "left", overflow="ellipsis" if no_wrap else "fold", no_wrap=no_wrap
        )
    for watch in watches:
        table.add_row(*_cells(watch))
    return table


def _cells(watch: Mapping[str, Any]) -> list[Text]:
    # A state file alone does not know all of it, and a server of another version not all of this.
    scanned_at, rate, lag_s = watch.get("scanned_at"), watch.get("rate"), watch.get("lag_s")
    state = watch.get("state", "")
    texts = (
        watch.get("name", ""),
        watch.get("place", ""),
        state,
        watch.get("mode", ""),
        watch.get("entries", ""),
        "" if rate is None else human_rate(rate),
        watch.get("unconfirmed", ""),
        human_age(lag_s) if lag_s else "",
        f"{human_age(time.time() - scanned_at)} ago" if scanned_at else "",
        watch.get("streams", ""),
        watch.get("note", ""),
    )
    cells = [Text(printable(str(text)) or "-") for text in texts]
    cells[2].stylize(_STATES.get(state, ""))
    return cells


def _change(change: Mapping[str, Any]) -> Text:
    line = Text(f"{datetime.fromtimestamp(change['at'], UTC).astimezone():%H:%M:%S}  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{change['type']:<8}", style=COLOURS.get(change["type"], ""))
    line.append(f"  {printable(change['watch'])}: {printable(change['path'])}")
    if change["old_path"]:
        line.append(f"  <- {printable(change['old_path'])}", style="dim")
    return line
