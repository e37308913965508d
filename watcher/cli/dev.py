"""``watcher dev``: server and client in one process and one event loop, on loopback."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from watcher.cli.client import Endpoint, open_stream
from watcher.cli.config_source import is_bucket, read_configuration, write_configuration
from watcher.cli.flags import (
    Backend,
    EndpointCa,
    Exec,
    Json,
    Verbose,
    duration_text,
    flag,
    split_by_commas,
    state_directory,
)
from watcher.cli.output import Output
from watcher.cli.session import run_until_stopped, show_changes
from watcher.cli.waiting_news import follow_waiting
from watcher.clock import Clock
from watcher.formatting import printable
from watcher.settings import BackendChoice, ServerSettings
from watcher.spec import Existing, Format, Mode  # noqa: TC001 - typer reads annotations
from watcher.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping

    from watcher.server import Server

EXAMPLES = (
    "watcher dev . --include '*.csv' --exec 'echo \"$WATCHER_TYPE: $WATCHER_PATH\"'",
    "watcher dev s3://landing/in/ --poll-interval 10s | jq .path",
)

_NAME = "dev"
_PROGRESS_INTERVAL_S = 0.1
_DIRECTORY_FLAGS = ("mode", "settle", "recursive")
_BUCKET_FLAGS = ("endpoint_url", "region", "profile", "anonymous")


def dev(  # noqa: PLR0913 - each is a flag
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE", help="Directory, or bucket as s3://bucket/prefix.", show_default=False
        ),
    ] = None,
    *,
    include: Annotated[
        list[str] | None,
        flag(
            "--include",
            metavar="GLOB",
            callback=split_by_commas,
            unset="all paths",
            help="Glob, or re:EXPRESSION, of paths to report; repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        flag(
            "--exclude",
            metavar="GLOB",
            callback=split_by_commas,
            unset="none",
            help="Glob, or re:EXPRESSION, of paths not to report; repeatable.",
        ),
    ] = None,
    match_case: Annotated[
        bool | None,
        flag(
            "--match-case/--no-match-case",
            unset="match-case",
            help="Whether --include and --exclude take account of case.",
        ),
    ] = None,
    events: Annotated[
        str | None,
        flag(
            "--events",
            metavar="TYPES",
            unset="created,modified,deleted,moved",
            help="Types of changes to report, separated by commas.",
        ),
    ] = None,
    existing: Annotated[
        Existing | None,
        flag(
            "--existing",
            unset="skip",
            help="Report entries that exist at the first start as created, or skip them.",
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        flag("--mode", unset="auto", help="How changes of a directory are detected."),
    ] = None,
    poll_interval: Annotated[
        str | None,
        flag(
            "--poll-interval",
            metavar="TIME",
            parser=duration_text,
            unset="10s for a directory, 30s for a bucket",
            help="Time between two scans when polling.",
        ),
    ] = None,
    settle: Annotated[
        str | None,
        flag(
            "--settle",
            metavar="TIME",
            parser=duration_text,
            unset="500ms",
            help="Time without a write after which an open file is complete.",
        ),
    ] = None,
    recursive: Annotated[
        bool | None,
        flag(
            "--recursive/--no-recursive",
            unset="recursive",
            help="Watch the subdirectories of a directory.",
        ),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        flag("--endpoint-url", metavar="URL", unset="AWS", help="Endpoint of the S3 store."),
    ] = None,
    region: Annotated[
        str | None, flag("--region", metavar="NAME", help="AWS region of the bucket.")
    ] = None,
    profile: Annotated[
        str | None,
        flag("--profile", metavar="NAME", help="Profile of the shared AWS configuration."),
    ] = None,
    anonymous: Annotated[
        bool | None,
        flag("--anonymous", unset="signed", help="Do not sign requests, for a public bucket."),
    ] = None,
    backend: Backend = BackendChoice.AUTO,
    endpoint_ca: EndpointCa = None,
    output_format: Annotated[
        Format | None, flag("--format", unset="flat", help="Format of the payloads.")
    ] = None,
    config: Annotated[
        str | None,
        flag(
            "--config",
            metavar="FILE",
            help="Configuration file in place of PLACE, or - for standard input.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        flag(
            "--state",
            metavar="DIR",
            parser=state_directory,
            env=False,
            unset="a temporary one",
            help="Directory that keeps the state for the next start.",
        ),
    ] = None,
    command: Exec = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Watch a directory or a bucket and print its changes.

    In a pipe, each change is one line of JSON. Ctrl-C stops it.

    The command of --exec finds WATCHER_TYPE, WATCHER_PATH, WATCHER_OLD_PATH,
    WATCHER_URI and WATCHER_EVENT_ID in its environment.
    """
    where = {"mode": mode, "settle": settle, "recursive": recursive, "poll_interval": poll_interval}
    where |= {"endpoint_url": endpoint_url, "region": region, "profile": profile}
    where |= {"anonymous": anonymous}
    types = [part.strip() for part in events.split(",")] if events else None
    rest = {
        "include": include,
        "exclude": exclude,
        "match_case": match_case,
        "events": types,
        "existing": existing,
        "format": output_format,
    }
    with _state_directory(state) as directory:
        data = _configuration(place, config, directory, _given(where), _given(rest))
        settings = ServerSettings(
            listen="127.0.0.1:0",
            http_listen=None,
            state=directory,
            endpoint_authorities=tuple(endpoint_ca or ()),
            backend=backend,
        )
        asyncio.run(
            run_until_stopped(
                _watch(data, settings, Output(as_json=json), command, is_verbose=verbose)
            )
        )


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None and value != []}


@contextmanager
def _state_directory(given: Path | None) -> Iterator[Path]:
    """Yield the given directory, or a temporary one that is removed at the end."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="watcher-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def _configuration(
    place: str | None,
    file: str | None,
    state: Path,
    where: dict[str, object],
    rest: dict[str, object],
) -> bytes:
    """Return the configuration that the arguments ask for.

    Raises:
        BadParameter: The arguments contradict each other, or name no place.
        ConfigError: The configuration cannot be read, or is not valid.
        NotFoundError: The directory does not exist.
    """
    if file is not None:
        if place is not None or where or rest:
            surplus = "PLACE" if place is not None else _flag([*where, *rest][0])
            raise typer.BadParameter(f"cannot be combined with {surplus}", param_hint="'--config'")
        return read_configuration(file)
    if place is None:
        raise typer.BadParameter(
            "name a place to watch: a directory or s3://bucket/prefix", param_hint="'PLACE'"
        )
    for name in _DIRECTORY_FLAGS if is_bucket(place) else _BUCKET_FLAGS:
        if name in where:
            raise typer.BadParameter(
                f"is for {'directories' if is_bucket(place) else 'buckets'} only",
                param_hint=f"'{_flag(name)}'",
            )
    return write_configuration(place, where, rest, state=state)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


async def _watch(
    config: bytes,
    settings: ServerSettings,
    output: Output,
    command: str | None,
    *,
    is_verbose: bool,
) -> None:
    """Show the changes that a configuration asks for, until cancelled.

    Args:
        config: Configuration in YAML or JSON.
        settings: Of the server.
        output: Standard output.
        command: Shell command for each change; None for none.
        is_verbose: Log all that the server does, not only warnings.

    Raises:
        StateError: The state or a file of authorities cannot be used.
        RefusedError: The configuration or its place is refused.
        UnavailableError: The place cannot be reached, or the watch has failed.
        BrokenPipeError: The reader of standard output is gone.
        WatcherError: Standard output cannot be written.
    """
    from watcher.server import Server  # noqa: PLC0415 - the server's libraries take 0.3 s; --help needs none

    # When the server ends a stream, the client reports the same error.
    dropped = () if is_verbose else ("stream.ended",)
    configure_logs("auto", quiet=not is_verbose, dropped=dropped)
    clock = Clock()
    async with Server(settings, clock) as server, AsyncExitStack() as exits:
        async with _progress(server, output):
            payloads = await exits.enter_async_context(
                open_stream(Endpoint(server.address), _NAME, config)
            )
        output.announce(_header(server))
        ((_, watch),) = server.watches.running()
        if watch.spec.may_wait:
            following = _in_background(follow_waiting(watch, output, clock))
            await exits.enter_async_context(following)
        await show_changes(payloads, output, command)


def _header(server: Server) -> str:
    ((identity, running),) = server.watches.running()
    entries = f"{running.entries:,} {'entry' if running.entries == 1 else 'entries'}"
    return f"watching {identity.place} ({running.status.mode}, {entries}); stop with Ctrl-C"


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do work beside the block, until its end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _progress(server: Server, output: Output) -> AsyncIterator[None]:
    """Show the progress of the first scan on a terminal, while the block runs."""
    if not output.is_readable:
        yield
        return
    with output.console.status("starting") as line:

        async def update() -> None:
            while True:
                for identity, running in server.watches.running():
                    place = escape(printable(identity.place))
                    line.update(
                        f"{running.status.state} {place}: {running.status.scanned:,} entries"
                    )
                await asyncio.sleep(_PROGRESS_INTERVAL_S)

        async with _in_background(update()):
            yield
