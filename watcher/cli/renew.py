"""``watcher renew``: gives new ids to the events of state that was restored from a backup."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated

import typer

from watcher.cli.defaults import default_state_directory
from watcher.cli.flags import flag
from watcher.cli.messages import complain
from watcher.clock import Clock
from watcher.errors import NotFoundError, StateError
from watcher.formatting import printable
from watcher.state.sqlite.directory import StateDirectory, state_files
from watcher.telemetry.logs import configure_logs

EXAMPLES = (
    "watcher renew --state /var/lib/watcher",
    "watcher renew orders invoices",
)


def renew(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Names of event sources, or their ids.  [default: all]",
            show_default=False,
        ),
    ] = None,
    *,
    state: Annotated[
        Path | None,
        flag(
            "--state",
            metavar="DIR",
            env=False,
            unset="that of the server of this user",
            help="State directory; no server may use it.",
        ),
    ] = None,
) -> None:
    """Give new ids to the events of a restored state directory.

    Run it after a volume was restored or cloned, before the server starts: the state would use ids
    again that consumers know. Unconfirmed events keep their ids. Nothing is lost and nothing is
    sent twice by it, so it may be run at any time, and again.
    """
    configure_logs("auto", quiet=True)
    directory = state or default_state_directory()
    if not directory.is_dir():
        raise StateError(
            "there is no such state directory", place=str(directory), hint="name it with --state"
        )
    with StateDirectory(directory, Clock()) as states:
        known = [*states.summaries()]
        wanted = [each for each in known if not names or each.name in names]
        if missing := {*(names or ())} - {each.name for each in wanted}:
            raise NotFoundError(
                f"there is no watch {min(missing)!r}",
                place=str(directory),
                hint="`watcher status` lists those that there are",
            )
        for identity in wanted:
            states.renew_ids(identity)
        if unread := len(state_files(directory)) - len(known):
            complain(f"{unread:,} state files cannot be read and keep their ids")
    typer.echo(f"{printable(str(directory))}: {len(wanted):,} watches have new ids")
