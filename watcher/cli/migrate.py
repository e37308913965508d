"""``watcher migrate``: prepares a database for state, or moves state from one place to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.flags import flag
from watcher.cli.messages import complain
from watcher.clock import Clock
from watcher.errors import StateError
from watcher.formatting import printable
from watcher.settings import DatabaseUrl, parse_state
from watcher.state.choice import choose_engine, prepare_database
from watcher.state.membership import used_alone
from watcher.state.transfer import move_watches
from watcher.telemetry.logs import configure_logs

EXAMPLES = (
    "watcher migrate --to postgresql://owner@db/watcher",
    "watcher migrate --from /var/lib/watcher --to postgresql://watcher@db/watcher",
)


def migrate(
    *,
    to: Annotated[
        str,
        flag(
            "--to",
            metavar="DIR|URL",
            env=False,
            help="State directory or database that is prepared, or gets the state.",
        ),
    ],
    source: Annotated[
        str | None,
        flag(
            "--from",
            metavar="DIR|URL",
            env=False,
            unset="nothing is moved",
            help="State directory or database from which all watches are moved.",
        ),
    ] = None,
) -> None:
    """Prepare a database for state, or move state between places.

    With --to alone it makes the tables, or brings them to this version, while servers may use
    them; the server does the same if its role may. With --from it moves all watches, with the ids
    and positions of their events: nothing is lost, and nothing is sent twice by it. No server may
    use either. Interrupted, it goes on when it is run again.
    """
    configure_logs("auto", quiet=True)
    target = parse_state(to)
    if source is None:
        if not isinstance(target, DatabaseUrl):
            raise StateError("a directory needs no preparation", place=to, hint="add --from")
        typer.echo(printable(prepare_database(target)))
        return
    kept = parse_state(source)
    if isinstance(kept, Path) and not kept.is_dir():
        raise StateError(
            "there is no such state directory", place=source, hint="name it with --from"
        )
    clock = Clock()
    with (
        used_alone(choose_engine(kept, clock)) as former,
        used_alone(choose_engine(target, clock)) as present,
    ):
        moved = 0
        for identity in move_watches(former, present):
            moved += 1
            complain(f"moved {printable(identity.name)} ({printable(identity.place)})")
        place = printable(present.place)
    typer.echo(f"{place}: {moved:,} watches were moved there")
