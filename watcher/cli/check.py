"""``watcher check``: validates a configuration, then reads the place once and says what would be watched, how, and at what cost."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.config_source import read_configuration
from watcher.cli.flags import Json, flag
from watcher.cli.output import complain
from watcher.errors import ConfigError
from watcher.formatting import human_size, printable

if TYPE_CHECKING:
    from watcher.cli.survey import Survey
    from watcher.spec import Spec


def check(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A file with a configuration, or - for stdin.",
            show_default=False,
        ),
    ],
    *,
    offline: Annotated[
        bool, flag("--offline", help="Validate only; the place is not read.")
    ] = False,
    json: Json = False,
) -> None:
    """Validate a configuration, then try it without a server.

    It reads the place once and tells what matches, how changes would be noticed, and what listing a bucket costs a month.
    """
    from watcher.config.schema import parse_spec  # noqa: PLC0415 - brings yaml, for which --help need not wait

    data = read_configuration(config)
    try:
        spec = parse_spec(data)
    except ConfigError as error:
        if not sys.stderr.isatty():
            raise
        complain(*_by_line(str(error)))
        raise typer.Exit(1) from error
    if offline:
        typer.echo('{"valid":true}' if json else "the configuration is valid")
        return

    import msgspec  # noqa: PLC0415 - as above

    survey = _survey(spec)
    if json:
        typer.echo(msgspec.json.encode(survey).decode())
    else:
        typer.echo("the configuration is valid")
        for title, text in _rows(survey):
            typer.echo(f"{title:<10} {text}".rstrip())


def _survey(spec: Spec) -> Survey:
    """Read the place, and show on a terminal how far it is.

    Raises:
        WatcherError: The place cannot be read.
    """
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.markup import escape  # noqa: PLC0415 - as above

    from watcher.cli.survey import survey_place  # noqa: PLC0415 - as above

    place = escape(printable(spec.where.place))
    # Nothing is shown where standard error is no terminal.
    with Console(stderr=True, highlight=False).status(f"reading {place}") as line:
        return survey_place(
            spec, lambda entries: line.update(f"reading {place}: {entries:,} entries")
        )


def _by_line(text: str) -> list[str]:
    """Return the problems of a configuration each on a line of its own, below the first."""
    head, _, problems = text.partition(": ")
    return [
        f"{head}:",
        *(f"  {problem}" for problem in re.split(r"; (?=line [0-9]+[:,]|and more$)", problems)),
    ]


def _rows(survey: Survey) -> list[tuple[str, str]]:
    rows = [
        ("place", printable(survey.place)),
        ("mode", f"{survey.mode} ({survey.reason})"),
        ("matching", f"{survey.matching:,} ({human_size(survey.size)})"),
        ("left out", f"{survey.left_out:,} by include and exclude"),
    ]
    if survey.unread:
        rows.append(("unread", f"{survey.unread:,} directories that may not be read"))
    rows += [
        ("" if number else "first", printable(path)) for number, path in enumerate(survey.first)
    ]
    if survey.cost is not None:
        cost = survey.cost
        rows += [
            (
                "requests",
                f"{cost.requests_per_poll:,} for one listing, every {cost.poll_interval_s:g} s: {cost.polls_per_month:,} in 30 days",
            ),
            (
                "cost",
                f"${cost.dollars_per_month:,.2f} in 30 days for {cost.requests_per_month:,} LIST requests",
            ),
            ("", "at $0.005 for 1,000, the list price of AWS in us-east-1; other stores differ"),
        ]
    return rows
