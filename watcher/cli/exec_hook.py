"""Runs the command of ``--exec``, once for each change."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import TYPE_CHECKING

from watcher.cli.output import complain

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from watcher.cli.change_view import ChangeView

_STDERR = 2
STOP_GRACE_S = 0.5
"""How long a command that runs at the end may take to end."""


async def run_command(command: str, notice: ChangeView, *, quiet_stdout: bool) -> None:
    """Run a command through the shell and wait for it; a failure is told on standard error.

    Args:
        command: For ``/bin/sh -c``.
        notice: The change; its JSON is the standard input.
        quiet_stdout: Standard output is for events alone; that of the command goes to standard error.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_shell(
            command,
            stdin=PIPE,
            stdout=_STDERR if quiet_stdout else None,
            env=os.environ | notice.environment(),
            # A group of its own, so that whatever it started can be stopped with it.
            process_group=0,
        )
    )
    try:
        # Who is cancelled while it starts would not learn which group to stop.
        process = await asyncio.shield(starting)
        await process.communicate(notice.data + b"\n")
    except OSError as error:
        complain(f"the command cannot be run: {error.strerror} ({notice.type} {notice.path})")
        return
    except asyncio.CancelledError:
        with suppress(OSError):
            await _stop(await starting)
        raise
    code = process.returncode or 0
    if code:
        outcome = f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        complain(f"the command {outcome} ({notice.type} {notice.path})")


async def _stop(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
            return
