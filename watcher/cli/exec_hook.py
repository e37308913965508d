"""Runs the command of ``--exec``, once for each change."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import TYPE_CHECKING

from watcher.cli.messages import complain

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from watcher.cli.change_view import ChangeView

_STDERR = 2
STOP_GRACE_S = 0.5
"""Seconds that a running command has to end after SIGTERM, before SIGKILL."""


async def run_command(command: str, change: ChangeView, *, quiet_stdout: bool) -> None:
    """Run a command through the shell and wait for it; report a failure on standard error.

    Args:
        command: For ``/bin/sh -c``.
        change: Its JSON is the standard input, its values are in the environment.
        quiet_stdout: Send the command's output to standard error, as standard output is for events.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_shell(
            command,
            stdin=PIPE,
            stdout=_STDERR if quiet_stdout else None,
            env=os.environ | change.environment(),
            # A process group of its own, so that its children can be stopped with it.
            process_group=0,
        )
    )
    try:
        # Shielded: cancelled during the start, the group to stop would be unknown.
        process = await asyncio.shield(starting)
        await process.communicate(change.data + b"\n")
    except OSError as error:
        complain(f"the command cannot be run: {error.strerror} ({change.type} {change.path})")
        return
    except asyncio.CancelledError:
        with suppress(OSError):
            await _stop(await starting)
        raise
    code = process.returncode or 0
    if code:
        outcome = f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        complain(f"the command {outcome} ({change.type} {change.path})")


async def _stop(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                await process.wait()
            return
