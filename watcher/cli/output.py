"""Prints events and messages: JSON lines into a pipe, readable lines on a terminal. Imports no grpc."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.formatting import human_size, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from watcher.cli.change_view import ChangeView

_STDOUT = 1
COLOURS = {"created": "green", "modified": "yellow", "deleted": "red", "moved": "cyan"}


class Output:
    """Standard output as a stream of events.

    Args:
        as_json: JSON lines on a terminal too.

    Attributes:
        is_readable: Lines are for people.
        console: Of such lines.
    """

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - a tenth of a second, which --help need not wait

        self.is_readable = sys.stdout.isatty() and not as_json
        self.console: Console = Console(highlight=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Print a line that is no event, if people read."""
        if self.is_readable:
            self.console.print(printable(text), style="dim", markup=False)

    async def show(self, payload: bytes, notices: list[ChangeView]) -> None:
        """Print a payload as one line of JSON, or a line for each of its changes.

        Raises:
            BrokenPipeError: Nobody reads any more.
            WatcherError: It cannot be written.
        """
        if self.is_readable:
            for notice in notices:
                self.console.print(readable(notice))
            return
        try:
            await _write(_STDOUT, payload + b"\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            raise WatcherError(f"standard output cannot be written: {error.strerror}") from error


def complain(*lines: str) -> None:
    """Print a message on standard error; it may hold what a server or a file name says."""
    text = "\n".join(printable(line) for line in lines)
    sys.stderr.write(f"watcher: {text}\n")
    sys.stderr.flush()


def readable(notice: ChangeView) -> Text:
    """Return a change as a line: local time, type, size, path."""
    from rich.text import Text  # noqa: PLC0415 - as above

    time = datetime.fromisoformat(notice.detected_at).astimezone()
    line = Text(f"{time:%H:%M:%S}  ", end="")
    line.append(f"{notice.type:<8}", style=COLOURS.get(notice.type, ""))
    line.append(
        f"  {'' if notice.size is None else human_size(notice.size):>8}  {printable(notice.path)}"
    )
    if notice.old_path:
        line.append(f"  <- {printable(notice.old_path)}", style="dim")
    line.end = "\n"
    return line


async def _write(fd: int, data: bytes) -> None:
    """Write as fast as the reader reads; the loop goes on meanwhile, so that Ctrl-C is heard when nobody does."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if not poll.poll(0):
            await _writable(fd)
        # A pipe that is ready takes so many bytes without blocking.
        rest = rest[os.write(fd, rest[: select.PIPE_BUF]) :]


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
