"""``watcher renew``: gives new ids to the events of state that was restored from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.defaults import default_state
from watcher.cli.flags import flag
from watcher.cli.messages import complain
from watcher.clock import Clock
from watcher.errors import NotFoundError, StateError
from watcher.formatting import printable
from watcher.settings import parse_state
from watcher.state.choice import choose_engine
from watcher.state.membership import used_alone
from watcher.state.sqlite.directory import state_files
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
        str | None,
        flag(
            "--state",
            metavar="DIR|URL",
            env=False,
            unset="that of the server of this user",
            help="State directory or database; no server may use it.",
        ),
    ] = None,
) -> None:
    """Give new ids to the events of restored state.

    Run it after a volume or a database was restored or cloned, before the server starts: the state
    would use ids again that consumers know. Unconfirmed events keep their ids. Nothing is lost and
    nothing is sent twice by it, so it may be run at any time, and again.
    """
    configure_logs("auto", quiet=True)
    kept = parse_state(state) if state else default_state()
    if isinstance(kept, Path) and not kept.is_dir():
        raise StateError(
            "there is no such state directory", place=str(kept), hint="name it with --state"
        )
    with used_alone(choose_engine(kept, Clock())) as states:
        known = [*states.summaries()]
        wanted = [each for each in known if not names or each.name in names]
        if missing := {*(names or ())} - {each.name for each in wanted}:
            raise NotFoundError(
                f"there is no watch {min(missing)!r}",
                place=states.place,
                hint="`watcher status` lists those that there are",
            )
        for identity in wanted:
            states.renew_ids(identity)
        if isinstance(kept, Path) and (unread := len(state_files(kept)) - len(known)):
            complain(f"{unread:,} state files cannot be read and keep their ids")
        place = printable(states.place)
    typer.echo(f"{place}: {len(wanted):,} watches have new ids")
