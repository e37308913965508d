"""Shows a stream until it ends, its reader is gone or the user stops it: ``dev`` and ``tail``."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from watcher.cli.change_view import read_changes
from watcher.cli.exec_hook import run_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Coroutine

    from watcher.cli.output import Output

_STDOUT = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def show_changes(payloads: AsyncIterable[bytes], output: Output, command: str | None) -> None:
    """Print each payload, and run the command for each of its changes, in order.

    Raises:
        BrokenPipeError: The reader of standard output is gone.
        WatcherError: Standard output cannot be written.
    """
    async for payload in payloads:
        changes = read_changes(payload) if command or output.is_readable else []
        await output.show(payload, changes)
        if command:
            for change in changes:
                await run_command(command, change, quiet_stdout=not output.is_readable)


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run until the end, a signal, or the end of standard output's reader.

    SIGINT, SIGTERM and SIGHUP cancel the work; a second signal ends the process at once.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    # SIGHUP is ignored under nohup(1), and stays so.
    numbers = [
        number
        for number in _SIGNALS
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]

    def stop() -> None:
        task.cancel()
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        loop.remove_reader(_STDOUT)

    for number in numbers:
        loop.add_signal_handler(number, stop)
    if _is_pipe(_STDOUT):
        # The write end of a pipe polls as readable when the reader has closed it (POLLERR).
        loop.add_reader(_STDOUT, stop)
    with suppress(asyncio.CancelledError, BrokenPipeError):
        await task


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
