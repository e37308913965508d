"""``watcher dev``: server and client in one process, on loopback."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.config_source import is_bucket, read_configuration, write_configuration
from watcher.cli.flags import Exec, Json, Verbose, by_commas, duration_text, flag
from watcher.spec import Existing, Format, Mode  # noqa: TC001 - typer reads annotations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIRECTORY_FLAGS = ("mode", "settle", "recursive")
_BUCKET_FLAGS = ("endpoint_url", "region", "profile")


def dev(  # noqa: PLR0913 - each is a flag
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="PLACE", help="A directory, or s3://bucket/prefix.", show_default=False
        ),
    ] = None,
    *,
    include: Annotated[
        list[str] | None,
        flag(
            "--include", metavar="GLOB", callback=by_commas, help="Only what matches; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        flag("--exclude", metavar="GLOB", callback=by_commas, help="Not what matches; repeatable."),
    ] = None,
    events: Annotated[
        str | None,
        flag("--events", metavar="TYPES", help="Some of created,modified,deleted,moved."),
    ] = None,
    existing: Annotated[
        Existing | None, flag("--existing", help="Report what is there already?  [default: skip]")
    ] = None,
    mode: Annotated[
        Mode | None, flag("--mode", help="How changes of a directory are noticed.  [default: auto]")
    ] = None,
    poll_interval: Annotated[
        str | None,
        flag(
            "--poll-interval",
            metavar="TIME",
            parser=duration_text,
            help="Between two scans, such as 30s.",
        ),
    ] = None,
    settle: Annotated[
        str | None,
        flag(
            "--settle",
            metavar="TIME",
            parser=duration_text,
            help="An open file is complete after so long.  [default: 500ms]",
        ),
    ] = None,
    recursive: Annotated[
        bool | None,
        flag("--recursive/--no-recursive", help="Subdirectories too.  [default: recursive]"),
    ] = None,
    endpoint_url: Annotated[
        str | None, flag("--endpoint-url", metavar="URL", help="A store that is not AWS.")
    ] = None,
    region: Annotated[str | None, flag("--region", metavar="NAME", help="Of the bucket.")] = None,
    profile: Annotated[
        str | None, flag("--profile", metavar="NAME", help="Of the shared AWS configuration.")
    ] = None,
    output_format: Annotated[
        Format | None, flag("--format", help="Of a payload.  [default: flat]")
    ] = None,
    config: Annotated[
        str | None,
        flag(
            "--config", metavar="FILE", help="A configuration, or - for stdin, in place of PLACE."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        flag(
            "--state",
            metavar="DIR",
            env=False,
            help="Keep the state there, to go on from at the next start.",
        ),
    ] = None,
    command: Exec = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Watch a directory or a bucket and print what changes.

    In a pipe, each change is one line of JSON. Ctrl-C ends it.

    The command of --exec finds WATCHER_TYPE, WATCHER_PATH, WATCHER_OLD_PATH,
    WATCHER_URI and WATCHER_EVENT_ID in its environment.
    """
    where = {"mode": mode, "settle": settle, "recursive": recursive, "poll_interval": poll_interval}
    where |= {"endpoint_url": endpoint_url, "region": region, "profile": profile}
    types = [part.strip() for part in events.split(",")] if events else None
    rest = {
        "include": include,
        "exclude": exclude,
        "events": types,
        "existing": existing,
        "format": output_format,
    }
    with _state_directory(state) as directory:
        data = _configuration(place, config, directory, _given(where), _given(rest))
        from watcher.cli.live import watch  # noqa: PLC0415 - likewise
        from watcher.cli.output import Output  # noqa: PLC0415 - the server and all its libraries, for which --help need not wait
        from watcher.cli.session import run_until_stopped  # noqa: PLC0415 - likewise

        asyncio.run(
            run_until_stopped(
                watch(data, directory, Output(as_json=json), command, is_verbose=verbose)
            )
        )


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None and value != []}


@contextmanager
def _state_directory(given: Path | None) -> Iterator[Path]:
    """Provide the directory that was given, or one that is removed in the end."""
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
        BadParameter: They contradict each other.
        ConfigError: It cannot be read, or is not valid.
        NotFoundError: There is no such directory.
    """
    if file is not None:
        if place is not None or where or rest:
            surplus = "PLACE" if place is not None else _flag([*where, *rest][0])
            raise typer.BadParameter(f"cannot be combined with {surplus}", param_hint="'--config'")
        return read_configuration(file)
    if place is None:
        raise typer.BadParameter(
            "say what to watch: a directory or s3://bucket/prefix", param_hint="'PLACE'"
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
