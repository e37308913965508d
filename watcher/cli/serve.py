"""``watcher serve``: flags become the settings of a server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path  # noqa: TC003 - typer reads annotations
from typing import Annotated, Literal

import typer  # noqa: TC002 - typer reads annotations

from watcher.cli.defaults import DEFAULT_HTTP, DEFAULT_SERVER, default_state_directory
from watcher.cli.flags import Verbose, address, by_commas, duration, duration_text, flag, host_port


def _http(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """Return the value, or an empty one where the environment says so: for typer an empty variable is none."""
    source = ctx.get_parameter_source(param.name or "")
    is_default = source is None or source.name == "DEFAULT"
    return "" if is_default and os.environ.get("WATCHER_HTTP") == "" else value


def serve(  # noqa: PLR0913 - each is a flag
    *,
    listen: Annotated[
        str, flag("--listen", metavar="ADDRESS", parser=address, help="host:port or unix:/path.")
    ] = DEFAULT_SERVER,
    http: Annotated[
        str,
        flag(
            "--http",
            metavar="ADDRESS",
            parser=host_port,
            callback=_http,
            help="Metrics, probes and status; '' for none.",
        ),
    ] = DEFAULT_HTTP,
    state: Annotated[
        Path | None,
        # What it must allow, and to whom, is said when it is opened.
        flag(
            "--state",
            metavar="DIR",
            readable=False,
            help="Where the state files are.  [default: $XDG_STATE_HOME/watcher]",
        ),
    ] = None,
    allow_directory: Annotated[
        list[str] | None,
        flag(
            "--allow-directory",
            metavar="[NAME=]DIR",
            callback=by_commas,
            help="May be watched, with all below; repeatable.",
        ),
    ] = None,
    allow_bucket: Annotated[
        list[str] | None,
        flag(
            "--allow-bucket",
            metavar="[NAME=]GLOB",
            callback=by_commas,
            help="Buckets that may be watched; repeatable.",
        ),
    ] = None,
    allow_endpoint: Annotated[
        list[str] | None,
        flag(
            "--allow-endpoint",
            metavar="[NAME=]URL",
            callback=by_commas,
            help="Stores that may be used; repeatable.",
        ),
    ] = None,
    allow_role: Annotated[
        list[str] | None,
        flag(
            "--allow-role",
            metavar="[NAME=]GLOB",
            callback=by_commas,
            help="Roles that may be assumed; repeatable.",
        ),
    ] = None,
    allow_profile: Annotated[
        list[str] | None,
        flag(
            "--allow-profile",
            metavar="[NAME=]GLOB",
            callback=by_commas,
            help="AWS profiles to use; repeatable.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        flag(
            "--token-file",
            metavar="FILE",
            help="Lines of name:token; without it no token is asked for.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        flag("--tls-cert", metavar="FILE", help="Certificate chain (PEM); serve with TLS."),
    ] = None,
    tls_key: Annotated[
        Path | None, flag("--tls-key", metavar="FILE", help="Its key (PEM).")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        flag(
            "--tls-client-ca", metavar="FILE", help="Clients must have a certificate of it (PEM)."
        ),
    ] = None,
    redelivery_window: Annotated[
        str,
        flag(
            "--redelivery-window",
            metavar="TIME",
            parser=duration_text,
            help="An event counts as delivered so long after it was sent; keep it well over 5s.",
        ),
    ] = "30s",
    idle_timeout: Annotated[
        str,
        flag(
            "--idle-timeout",
            metavar="TIME",
            parser=duration_text,
            help="A watch without a stream stops looking after this.",
        ),
    ] = "10m",
    journal_cap: Annotated[
        int,
        flag(
            "--journal-cap",
            metavar="COUNT",
            min=1,
            help="Undelivered events that a watch holds before it stops looking.",
        ),
    ] = 100_000,
    journal_retention: Annotated[
        str,
        flag(
            "--journal-retention",
            metavar="TIME",
            parser=duration_text,
            help="Delivered events are kept so long for `watcher replay`.",
        ),
    ] = "0s",
    max_streams: Annotated[
        int, flag("--max-streams", metavar="COUNT", min=1, help="Streams at once.")
    ] = 10_000,
    max_watches: Annotated[
        int, flag("--max-watches", metavar="COUNT", min=1, help="Watches that run at once.")
    ] = 2_000,
    max_token_streams: Annotated[
        int,
        flag(
            "--max-token-streams",
            metavar="COUNT",
            min=1,
            help="Streams at once of one token's name; without tokens, of all.",
        ),
    ] = 1_000,
    max_token_watches: Annotated[
        int,
        flag(
            "--max-token-watches",
            metavar="COUNT",
            min=1,
            help="Watches whose state is kept, likewise.",
        ),
    ] = 1_000,
    max_token_entries: Annotated[
        int,
        flag(
            "--max-token-entries",
            metavar="COUNT",
            min=1,
            help="Files and objects in the indexes, likewise.",
        ),
    ] = 20_000_000,
    max_token_journal_bytes: Annotated[
        int,
        flag(
            "--max-token-journal-bytes",
            metavar="COUNT",
            min=1,
            help="Undelivered events, likewise.",
        ),
    ] = 1 << 30,
    max_config_bytes: Annotated[
        int | None,
        flag(
            "--max-config-bytes",
            metavar="COUNT",
            help="Has no effect; removed in 0.3.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        Literal["auto", "json", "console"],
        flag("--log-format", help="auto: console on a terminal."),
    ] = "auto",
    verbose: Verbose = False,
) -> None:
    """Run the server.

    Without any --allow flag every place may be watched, but then it listens on loopback or a unix socket only.
    NAME= before a value allows it to the token of that name only.
    """
    import structlog  # noqa: PLC0415 - likewise

    from watcher.server import serve as run_server  # noqa: PLC0415 - likewise
    from watcher.settings import ServerSettings  # noqa: PLC0415 - likewise
    from watcher.telemetry.logs import configure_logs  # noqa: PLC0415 - the server and all its libraries, for which --help need not wait

    configure_logs(log_format, verbose=verbose)
    if max_config_bytes is not None:
        hint = "remove it: a configuration has at most 16 KiB"
        structlog.get_logger("watcher").warning(
            "server.deprecated", flag="--max-config-bytes", hint=hint
        )
    settings = ServerSettings(
        listen=listen,
        state_directory=state or default_state_directory(),
        http_listen=http or None,
        allow_directories=tuple(allow_directory or ()),
        allow_buckets=tuple(allow_bucket or ()),
        allow_endpoints=tuple(allow_endpoint or ()),
        allow_roles=tuple(allow_role or ()),
        allow_profiles=tuple(allow_profile or ()),
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        redelivery_window_s=duration(redelivery_window),
        idle_timeout_s=duration(idle_timeout),
        journal_cap=journal_cap,
        journal_retention_s=duration(journal_retention),
        max_streams=max_streams,
        max_watches=max_watches,
        max_token_streams=max_token_streams,
        max_token_watches=max_token_watches,
        max_token_entries=max_token_entries,
        max_token_journal_bytes=max_token_journal_bytes,
    )
    asyncio.run(run_server(settings))
