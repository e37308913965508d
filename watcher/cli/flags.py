"""The flags that several verbs have, and how their values are read. Every start imports this."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from watcher.cli.defaults import DEFAULT_SERVER
from watcher.config.durations import parse_duration
from watcher.settings import BackendChoice, parse_state


def flag(*names: str, env: bool = True, unset: str = "", **more: Any) -> Any:  # noqa: ANN401 - the types of typer.Option
    """Return an option that is also read from a variable: ``--tls-ca`` from ``WATCHER_TLS_CA``.

    Args:
        names: As typer takes them; the last is the long one.
        env: False for a flag whose variable has another meaning, or must not affect the verb.
        unset: The default to show in the help where the flag's own default is None.
        more: For ``typer.Option``.
    """
    if unset:
        more["help"] += f"  [default: {unset}]"
    return typer.Option(
        *names, envvar=_variable(names[-1]) if env else None, show_envvar=False, **more
    )


def _variable(name: str) -> str:
    return "WATCHER_" + name.partition("/")[0].removeprefix("--").replace("-", "_").upper()


def split_by_commas(ctx: typer.Context, param: typer.CallbackParam, values: list[str]) -> list[str]:
    """Return the values of a repeatable flag; in the environment commas separate them."""
    source = ctx.get_parameter_source(param.name or "")
    if source is None or source.name != "ENVIRONMENT":
        return values
    return [part.strip() for part in os.environ[str(param.envvar)].split(",") if part.strip()]


def duration(text: str) -> float:
    """Return the seconds of a Go duration.

    Raises:
        BadParameter: The text is not a duration.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from error


def duration_text(text: str) -> str:
    """Return a Go duration unchanged, for a configuration.

    Raises:
        BadParameter: The text is not a duration.
    """
    duration(text)
    return text


def address(text: str) -> str:
    """Return ``host:port`` or ``unix:/path`` unchanged.

    Raises:
        BadParameter: The text is neither.
    """
    if not text.startswith(("unix:", "unix-abstract:")) and not _is_host_port(text):
        raise typer.BadParameter(f"{text!r} must be host:port or unix:/path")
    return text


def host_port(text: str) -> str:
    """Return ``host:port`` or an empty text unchanged.

    Raises:
        BadParameter: The text is neither.
    """
    if text and (text.startswith("unix") or not _is_host_port(text)):
        raise typer.BadParameter(f"{text!r} must be host:port")
    return text


def state_directory(text: str) -> Path:
    """Return a directory.

    Raises:
        BadParameter: The text is the URL of a database.
    """
    state = parse_state(text)
    if not isinstance(state, Path):
        raise typer.BadParameter("must be a directory")
    return state


def http_url(text: str) -> str:
    """Return the URL of ``host:port``, or an http or https URL unchanged.

    Raises:
        BadParameter: The text is neither.
    """
    if text.startswith(("http://", "https://")):
        return text
    if not _is_host_port(text):
        raise typer.BadParameter(f"{text!r} must be host:port or http://host:port")
    return f"http://{text}"


def _is_host_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and int(port) < 1 << 16


Json: TypeAlias = Annotated[
    bool, flag("--json", help="Print JSON, one document a line, on a terminal too.")
]
Exec: TypeAlias = Annotated[
    str | None,
    flag(
        "--exec",
        metavar="CMD",
        help="Run this shell command for each change, one at a time, with its JSON on stdin.",
    ),
]
Backend: TypeAlias = Annotated[
    BackendChoice,
    flag(
        "--backend",
        help="How directories are watched: linux needs Linux, portable runs on a Mac too; auto is "
        "linux on Linux.",
    ),
]
EndpointCa: TypeAlias = Annotated[
    list[str] | None,
    flag(
        "--endpoint-ca",
        metavar="URL=FILE",
        callback=split_by_commas,
        help="Authorities (PEM) to trust, beside the public ones, for the S3 store at URL; "
        "repeatable.",
    ),
]
Server: TypeAlias = Annotated[
    str | None,
    flag(
        "--server",
        metavar="ADDRESS",
        parser=address,
        unset=DEFAULT_SERVER,
        help="Address of the server's gRPC port: host:port or unix:/path.",
    ),
]
Token: TypeAlias = Annotated[
    str,
    flag(
        "--token",
        metavar="TOKEN",
        show_default=False,
        help="Token for a server that was started with --token-file.",
    ),
]
WatchName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the event source, or its id.", show_default=False),
]
WatchPlace: TypeAlias = Annotated[
    str,
    flag(
        "--place", metavar="URI", env=False, help="Watched place; needed if NAME watches several."
    ),
]
Tls: TypeAlias = Annotated[bool, flag("--tls", help="Connect with TLS.")]
TlsCa: TypeAlias = Annotated[
    Path | None,
    flag(
        "--tls-ca",
        metavar="FILE",
        parser=Path,
        unset="those of the system",
        help="Certificate authorities to trust (PEM); implies --tls.",
    ),
]
Verbose: TypeAlias = Annotated[bool, flag("-v", "--verbose", help="Log details to standard error.")]
