"""``watcher check``: validates a configuration, then reads its place once without watching it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from watcher.cli.config_source import read_configuration
from watcher.cli.flags import Backend, EndpointCa, Json, flag
from watcher.cli.messages import complain
from watcher.clock import Clock
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError
from watcher.formatting import human_age, human_size, printable
from watcher.settings import BackendChoice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from watcher.cli.survey import Survey
    from watcher.sources.cost import Cost
    from watcher.sources.s3.hints.queue.setup import QueueSetup
    from watcher.spec import Spec

MAX_PREFIXES = 10
"""Maximum number of prefixes with dates that are shown one by one."""

EXAMPLES = ("watcher check config.yaml", "watcher check --offline - < config.yaml")


def check(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="Configuration file, or - for standard input.",
            show_default=False,
        ),
    ],
    *,
    offline: Annotated[
        bool, flag("--offline", help="Only validate; do not read the place.")
    ] = False,
    backend: Backend = BackendChoice.AUTO,
    endpoint_ca: EndpointCa = None,
    json: Json = False,
) -> None:
    """Validate a configuration and try it without a server.

    The place is read once. The result shows the matching entries, how changes would be detected,
    and the monthly cost of listing a bucket.
    """
    data = read_configuration(config)
    try:
        spec = parse_spec(data)
    except ConfigError as error:
        if not sys.stderr.isatty():
            raise
        complain(*problem_lines(str(error)))
        raise typer.Exit(1) from error
    if offline:
        typer.echo('{"valid":true}' if json else "the configuration is valid")
        return
    survey = _survey(spec, endpoint_ca or (), backend)
    if json:
        typer.echo(msgspec.json.encode(survey).decode())
    else:
        typer.echo("the configuration is valid")
        for title, text in _rows(survey):
            typer.echo(f"{title:<10} {text}".rstrip())


def _survey(spec: Spec, endpoint_ca: Sequence[str], backend: BackendChoice) -> Survey:
    """Read the place, with the progress on standard error if that is a terminal.

    Raises:
        NotFoundError: The place does not exist.
        DeniedError: The place may not be read.
        UnavailableError: The place cannot be read now.
        StateError: A file of authorities cannot be used.
    """
    from watcher.cli.survey import survey_place  # noqa: PLC0415 - the sources take 0.1 s; --offline needs none
    from watcher.security.endpoint_authorities import EndpointAuthorities  # noqa: PLC0415 - brings ssl; --offline needs none
    from watcher.telemetry.logs import configure_logs  # noqa: PLC0415 - as above

    # The remark of the survey says that versions are not kept.
    configure_logs("auto", quiet=True, dropped=["scan.versioning_off"])
    place = escape(printable(spec.where.place))
    with Console(stderr=True, highlight=False).status(f"reading {place}") as line:
        return survey_place(
            spec,
            Clock(),
            lambda entries: line.update(f"reading {place}: {entries:,} entries"),
            EndpointAuthorities(endpoint_ca),
            backend,
        )


def problem_lines(text: str) -> list[str]:
    """Return the message of an invalid configuration with each problem on its own line."""
    head, _, problems = text.partition(": ")
    return [
        f"{head}:",
        *(f"  {problem}" for problem in re.split(r"; (?=line [0-9]+[:,]|and more$)", problems)),
    ]


def _rows(survey: Survey) -> list[tuple[str, str]]:
    rows = [
        ("place", printable(survey.place)),
        ("mode", f"{survey.mode} ({survey.reason})"),
        *_prefix_rows(survey.prefixes),
        ("matching", f"{survey.matching:,} ({human_size(survey.size)})"),
        *_version_rows(survey),
        *_trigger_rows(survey),
        ("left out", f"{survey.left_out:,} by include and exclude"),
    ]
    if survey.temporary:
        count = f"{survey.temporary:,} temporary names left out"
        rows.append(("temporary", f"{count}; temporary: report reports them"))
    for form, number in (("composed", survey.composed), ("decomposed", survey.decomposed)):
        if number:
            hint = "write the pattern both ways, or set match_case: false"
            rows.append((form, f"{_names_match(number)} only when {form}; {hint}"))
    if survey.other_case:
        hint = "match_case: false takes no account of it"
        rows.append(("case", f"{_names_match(survey.other_case)} only in another case; {hint}"))
    if survey.unread:
        kind = "files and directories" if survey.cost is None else "objects"
        rows.append(("unread", f"{survey.unread:,} {kind} that cannot be read"))
    rows += [
        ("" if number else "mounts", printable(str(part)))
        for number, part in enumerate(survey.parts)
    ]
    rows += [
        ("" if number else "first", printable(path)) for number, path in enumerate(survey.first)
    ]
    if survey.queue is not None:
        rows += _queue_rows(survey.queue)
    if survey.cost is not None:
        rows += _cost_rows(survey.cost)
    return rows


def _prefix_rows(prefixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the prefixes that are listed now; of many the first and the last."""
    shown: Iterable[str] = map(printable, prefixes)
    if len(prefixes) > MAX_PREFIXES:
        shown = [f"{len(prefixes)}, from {printable(prefixes[0])}", f"to {printable(prefixes[-1])}"]
    for number, text in enumerate(shown):
        yield ("" if number else "prefixes"), text


def _version_rows(survey: Survey) -> Iterator[tuple[str, str]]:
    if survey.versions is not None:
        keys, markers = survey.versions.keys, survey.versions.delete_markers
        yield "versions", f"those of {keys:,} keys, {markers:,} delete markers among them"
    if survey.remark:
        yield "", survey.remark


def _queue_rows(queue: QueueSetup) -> Iterator[tuple[str, str]]:
    yield "queue", printable(queue.url)
    yield "", f"{queue.backlog:,} messages wait, {queue.in_flight:,} are in flight"
    times = f"visible again after {human_age(queue.visibility_s)}"
    times += f", kept for {human_age(queue.retention_s)}"
    yield "", times + (f", dead letters {queue.dead_letters}" if queue.dead_letters else "")
    for warning in queue.warnings:
        yield "", f"warning: {printable(warning)}"


def _cost_rows(cost: Cost) -> Iterator[tuple[str, str]]:
    listing = f"{cost.requests_per_poll:,} for one listing, every"
    price = f"${cost.dollars_per_month:,.2f} in 30 days"
    if (hints := cost.hints) is None:
        times = f"{cost.polls_per_month:,} in 30 days"
        yield "requests", f"{listing} {cost.poll_interval_s:g} s: {times}"
        yield "cost", f"{price} for {cost.requests_per_month:,} LIST requests"
        if details := cost.dollars_per_1000_changes:
            yield "", f"${details:g} more for the details of 1,000 objects that are reported"
        yield "", "at $0.005 for 1,000, the list price of AWS in us-east-1; other stores differ"
        return
    times = f"{hints.polls_per_month:,} in 30 days"
    yield "requests", f"{listing} {human_age(hints.poll_interval_s)} while hints arrive: {times}"
    if asked := hints.queue_requests_per_month:
        yield "", f"{asked:,} to the queue in 30 days without changes"
    yield (
        "cost",
        (
            f"${hints.dollars_per_month:,.2f} in 30 days for {hints.requests_per_month:,} LIST "
            f"requests{' and the queue' if asked else ''}"
        ),
    )
    yield "", f"at most ${hints.dollars_per_1000_changes:g} more for 1,000 objects that are put"
    if hints.poll_interval_s > cost.poll_interval_s:
        yield "", f"{price} while no hints arrive, with a listing every {cost.poll_interval_s:g} s"
    queue = ", $0.40 for 1,000,000 to the queue" if asked else ""
    yield "", f"at $0.005 for 1,000 LIST and $0.0004 for 1,000 HEAD requests{queue},"
    yield "", "the list prices of AWS in us-east-1; other stores differ"


def _trigger_rows(survey: Survey) -> Iterator[tuple[str, str]]:
    if survey.waiting:
        yield "", survey.waiting
    if survey.too_old:
        yield "", f"{survey.too_old:,} older than max_age: recorded, not reported"
    if survey.resting:
        yield "groups", survey.resting
    if survey.markers:
        yield "markers", f"{survey.markers:,}, which are not reported themselves"


def _names_match(number: int) -> str:
    return "1 name matches" if number == 1 else f"{number:,} names match"
