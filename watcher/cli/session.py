"""What ``dev`` and ``tail`` have in common: showing a stream until it, the reader or the user ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from watcher.cli.change_view import read_notices
from watcher.cli.exec_hook import run_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Coroutine

    from watcher.cli.output import Output

_STDOUT = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def show_changes(payloads: AsyncIterable[bytes], output: Output, command: str | None) -> None:
    """Print each payload, and run the command for each of its changes, in order.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """
    async for payload in payloads:
        notices = read_notices(payload) if command or output.is_readable else []
        await output.show(payload, notices)
        if command:
            for notice in notices:
                await run_command(command, notice, quiet_stdout=not output.is_readable)


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, until SIGINT, SIGTERM or SIGHUP, or until nobody reads standard output; a second signal kills at once."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    # Under nohup the end of the terminal is not ours.
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
        # A pipe whose reader is gone reports an error; no need to wait for the next event to learn of it.
        loop.add_reader(_STDOUT, stop)
    with suppress(asyncio.CancelledError, BrokenPipeError):
        await task


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
