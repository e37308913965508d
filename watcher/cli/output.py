"""Standard output of ``dev`` and ``tail``: JSON lines in a pipe, readable lines on a terminal."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from watcher.cli.messages import complain
from watcher.errors import WatcherError
from watcher.formatting import human_size, printable

if TYPE_CHECKING:
    from watcher.cli.change_view import ChangeView

_STDOUT = 1
COLOURS = {
    "created": "green",
    "modified": "yellow",
    "deleted": "red",
    "moved": "cyan",
    "completed": "bold green",
}


class Output:
    """Standard output as a stream of events.

    Args:
        as_json: Write JSON lines on a terminal too.

    Attributes:
        as_json: Whether JSON was asked for.
        is_readable: Whether lines are for people, not for programs.
        console: The terminal of readable lines.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_readable = sys.stdout.isatty() and not as_json
        self.console = Console(highlight=False, soft_wrap=True)

    def announce(self, text: str) -> None:
        """Print a line that is no event: between readable lines, or else on standard error."""
        if self.is_readable:
            self.console.print(printable(text), style="dim", markup=False)
        else:
            complain(text)

    async def show(self, payload: bytes, changes: list[ChangeView]) -> None:
        """Print a payload as one line of JSON, or a readable line for each of its changes.

        Raises:
            BrokenPipeError: The reader of standard output is gone.
            WatcherError: Standard output cannot be written.
        """
        if self.is_readable:
            for change in changes:
                self.console.print(readable(change))
            return
        try:
            await _write(_STDOUT, payload + b"\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WatcherError(f"standard output cannot be written: {error.strerror}") from error


def readable(change: ChangeView) -> Text:
    """Return a change as a line: local time, type, size, path, and a former path or counts."""
    time = datetime.fromisoformat(change.detected_at).astimezone()
    size = "" if change.size is None else human_size(change.size)
    line = Text(f"{time:%H:%M:%S}  ")
    line.append(f"{change.type:<9}", style=COLOURS.get(change.type, ""))
    line.append(f"  {size:>8}  {printable(change.path or '.')}")
    if change.old_path:
        line.append(f"  <- {printable(change.old_path)}", style="dim")
    if change.group:
        counts = ", ".join(f"{number:,} {name}" for name, number in change.group.items() if number)
        line.append(f"  {counts}", style="dim")
    return line


async def _write(fd: int, data: bytes) -> None:
    """Write at the reader's speed; the event loop keeps running, so that Ctrl-C works meanwhile."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if not poll.poll(0):
            await _writable(fd)
        # A pipe that polls as writable takes PIPE_BUF bytes without blocking (pipe(7)).
        rest = rest[os.write(fd, rest[: select.PIPE_BUF]) :]


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
