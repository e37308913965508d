"""The application: its verbs, its version, and how it tells a failure. Imports nothing but what reads flags."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from watcher import __version__
from watcher.cli.check import check
from watcher.cli.dev import dev
from watcher.cli.healthcheck import healthcheck
from watcher.cli.output import complain
from watcher.cli.replay import replay
from watcher.cli.serve import serve
from watcher.cli.status import status
from watcher.cli.tail import tail
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from collections.abc import Callable

_EPILOG = """Exit codes: 0 success, and stopped by Ctrl-C; 1 a failure, told in one line;
2 wrong usage; 130 interrupted before the work began.

Flags are read from the environment too: --token-file is WATCHER_TOKEN_FILE.
Several values are separated by commas there."""

_EXAMPLES: dict[Callable[..., None], list[str]] = {
    dev: [
        "watcher dev . --include '*.csv' --exec 'echo \"$WATCHER_TYPE: $WATCHER_PATH\"'",
        "watcher dev s3://landing/in/ --poll-interval 10s | jq .path",
    ],
    serve: ["watcher serve", "watcher serve --listen 0.0.0.0:8080 --allow-directory /data"],
    check: ["watcher check config.yaml", "watcher check --offline - < config.yaml"],
    tail: ["watcher tail config.yaml --server watcher.example:8080 --json"],
    replay: [
        "watcher replay orders --since 2h",
        "watcher replay orders --since 10042 --server watcher.example:8080",
    ],
    status: [
        "watcher status",
        "watcher status --watch",
        "watcher status --state /var/lib/watcher --json",
    ],
    healthcheck: ["watcher healthcheck --server 127.0.0.1:8080"],
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Plain text starts four times faster than boxes and colours.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
for _verb, _examples in _EXAMPLES.items():
    app.command(
        epilog="\b\nExamples:\n" + "\n".join(f"  {example}" for example in _examples),
        no_args_is_help=False,
    )(_verb)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the signature of a callback
    if wanted:
        typer.echo(f"watcher {__version__}")
        raise typer.Exit


@app.callback(epilog="\b\n" + _EPILOG.replace("\n\n", "\n\n\b\n"))
def top(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Turn a directory or an S3 bucket into a stream of JSON events."""
    del version


def run() -> None:
    """Run the application; a failure that is told to a person takes one line, never a traceback."""
    try:
        app(prog_name="watcher")
    except WatcherError as error:
        complain(str(error))
        sys.exit(1)
