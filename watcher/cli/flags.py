"""The flags that verbs share, and how their values are read. Imports nothing heavy: every start reads this."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from watcher.cli.defaults import DEFAULT_SERVER
from watcher.config.durations import parse_duration


def flag(*names: str, env: bool = True, **more: Any) -> Any:  # noqa: ANN401 - the types of typer.Option
    """Return an option that is also read from the environment: ``--token-file`` is ``WATCHER_TOKEN_FILE``.

    Args:
        names: As typer takes them; the last is the long one.
        env: False for a flag that means something else elsewhere.
        more: For ``typer.Option``.
    """
    return typer.Option(
        *names, envvar=_variable(names[-1]) if env else None, show_envvar=False, **more
    )


def _variable(name: str) -> str:
    return "WATCHER_" + name.partition("/")[0].removeprefix("--").replace("-", "_").upper()


def by_commas(ctx: typer.Context, param: typer.CallbackParam, values: list[str]) -> list[str]:
    """Return the values of a flag that may be repeated; in the environment commas separate them."""
    source = ctx.get_parameter_source(param.name or "")
    if source is None or source.name != "ENVIRONMENT":
        return values
    return [part.strip() for part in os.environ[str(param.envvar)].split(",") if part.strip()]


def duration(text: str) -> float:
    """Return the seconds of a duration as Go writes it.

    Raises:
        BadParameter: It is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from error


def duration_text(text: str) -> str:
    """Return a duration as it was written, for a configuration.

    Raises:
        BadParameter: It is none.
    """
    duration(text)
    return text


def address(text: str) -> str:
    """Return ``host:port`` or ``unix:/path`` as it was written.

    Raises:
        BadParameter: It is neither.
    """
    host, _, port = text.rpartition(":")
    if not text.startswith(("unix:", "unix-abstract:")) and not (
        host and port.isdecimal() and int(port) < 1 << 16
    ):
        raise typer.BadParameter(f"{text!r} must be host:port or unix:/path")
    return text


def host_port(text: str) -> str:
    """Return ``host:port``, or nothing, as it was written.

    Raises:
        BadParameter: It is neither.
    """
    if text.startswith("unix"):
        raise typer.BadParameter(f"{text!r} must be host:port")
    return address(text) if text else text


Json: TypeAlias = Annotated[
    bool, flag("--json", help="JSON, one document a line, on a terminal too.")
]
Exec: TypeAlias = Annotated[
    str | None,
    flag(
        "--exec",
        metavar="CMD",
        help="Run this in the shell for each change, one at a time; its JSON is on stdin.",
    ),
]
Verbose: TypeAlias = Annotated[bool, flag("-v", "--verbose", help="Log more, on standard error.")]
Server: TypeAlias = Annotated[
    str | None,
    flag(
        "--server",
        metavar="ADDRESS",
        parser=address,
        help=f"host:port or unix:/path.  [default: {DEFAULT_SERVER}]",
    ),
]
Token: TypeAlias = Annotated[
    str,
    flag(
        "--token", metavar="TOKEN", help="Shown to a server with --token-file.", show_default=False
    ),
]
Tls: TypeAlias = Annotated[bool, flag("--tls", help="Connect with TLS.")]
TlsCa: TypeAlias = Annotated[
    Path | None,
    flag(
        "--tls-ca",
        metavar="FILE",
        help="Authorities (PEM) to trust in place of the system's; implies --tls.",
    ),
]
