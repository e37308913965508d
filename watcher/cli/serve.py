"""``watcher serve``: turns flags into the settings of a server and runs it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal

import typer  # noqa: TC002 - typer reads annotations

from watcher.cli.defaults import DEFAULT_HTTP, DEFAULT_SERVER, default_node, default_state
from watcher.cli.flags import (
    Backend,
    EndpointCa,
    Verbose,
    address,
    duration,
    duration_text,
    flag,
    host_port,
    split_by_commas,
)
from watcher.settings import BackendChoice, ServerSettings, parse_state
from watcher.telemetry.logs import configure_logs

EXAMPLES = ("watcher serve", "watcher serve --listen 0.0.0.0:8080 --allow-directory /data")


def _http(ctx: typer.Context, param: typer.CallbackParam, value: str) -> str:
    """Return the value, or an empty one for an empty variable, which typer treats as unset."""
    source = ctx.get_parameter_source(param.name or "")
    is_default = source is None or source.name == "DEFAULT"
    return "" if is_default and os.environ.get("WATCHER_HTTP") == "" else value


def serve(  # noqa: PLR0913 - each is a flag
    *,
    listen: Annotated[
        str,
        flag(
            "--listen",
            metavar="ADDRESS",
            parser=address,
            help="Address of the gRPC port: host:port or unix:/path.",
        ),
    ] = DEFAULT_SERVER,
    http: Annotated[
        str,
        flag(
            "--http",
            metavar="ADDRESS",
            parser=host_port,
            callback=_http,
            help="Address of the HTTP port for metrics, probes and the status page; '' for none.",
        ),
    ] = DEFAULT_HTTP,
    state: Annotated[
        str | None,
        flag(
            "--state",
            metavar="DIR|URL",
            unset="$XDG_STATE_HOME/watcher",
            help="Directory of the state files, or postgresql:// URL of a database.",
        ),
    ] = None,
    node: Annotated[
        str | None,
        flag(
            "--node",
            metavar="NAME",
            help="Node on which the server runs; the host's name unless given, unknown in a pod.",
        ),
    ] = None,
    backend: Backend = BackendChoice.AUTO,
    allow_directory: Annotated[
        list[str] | None,
        flag(
            "--allow-directory",
            metavar="[NAME=]DIR",
            callback=split_by_commas,
            help="Directory that may be watched, with all below it; repeatable.",
        ),
    ] = None,
    allow_bucket: Annotated[
        list[str] | None,
        flag(
            "--allow-bucket",
            metavar="[NAME=]GLOB",
            callback=split_by_commas,
            help="Glob of bucket names or ARNs that may be watched; repeatable.",
        ),
    ] = None,
    allow_endpoint: Annotated[
        list[str] | None,
        flag(
            "--allow-endpoint",
            metavar="[NAME=]URL",
            callback=split_by_commas,
            help="Endpoint of an S3 store that may be used; repeatable.",
        ),
    ] = None,
    allow_role: Annotated[
        list[str] | None,
        flag(
            "--allow-role",
            metavar="[NAME=]GLOB",
            callback=split_by_commas,
            help="Glob of ARNs of AWS roles that may be assumed; repeatable.",
        ),
    ] = None,
    allow_profile: Annotated[
        list[str] | None,
        flag(
            "--allow-profile",
            metavar="[NAME=]GLOB",
            callback=split_by_commas,
            help="Glob of AWS profiles that may be used; repeatable.",
        ),
    ] = None,
    allow_queue: Annotated[
        list[str] | None,
        flag(
            "--allow-queue",
            metavar="[NAME=]GLOB",
            callback=split_by_commas,
            help="Glob of URLs of queues that may be read; repeatable.",
        ),
    ] = None,
    endpoint_ca: EndpointCa = None,
    confirm_subscriptions: Annotated[
        bool,
        flag(
            "--confirm-subscriptions",
            help="Confirm subscriptions of topics of Amazon SNS to /hint.",
        ),
    ] = False,
    token_file: Annotated[
        Path | None,
        flag(
            "--token-file",
            metavar="FILE",
            parser=Path,
            help="File with a name:token on each line; without it no token is required.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        flag(
            "--tls-cert",
            metavar="FILE",
            parser=Path,
            help="Certificate chain of the server (PEM); enables TLS.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        flag("--tls-key", metavar="FILE", parser=Path, help="Private key of the --tls-cert (PEM)."),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        flag(
            "--tls-client-ca",
            metavar="FILE",
            parser=Path,
            help="Authorities (PEM); clients must have a certificate of one of them.",
        ),
    ] = None,
    redelivery_window: Annotated[
        str,
        flag(
            "--redelivery-window",
            metavar="TIME",
            parser=duration_text,
            help="Time after which an event that was sent is confirmed; keep it well over 5s.",
        ),
    ] = "30s",
    idle_timeout: Annotated[
        str,
        flag(
            "--idle-timeout",
            metavar="TIME",
            parser=duration_text,
            help="Time without a stream after which a watch stops; its state is kept.",
        ),
    ] = "10m",
    journal_cap: Annotated[
        int,
        flag(
            "--journal-cap",
            metavar="COUNT",
            min=1,
            help="Unconfirmed events at which a watch pauses until they are confirmed.",
        ),
    ] = 100_000,
    journal_retention: Annotated[
        str,
        flag(
            "--journal-retention",
            metavar="TIME",
            parser=duration_text,
            help="Time for which confirmed events are kept for `watcher replay`.",
        ),
    ] = "0s",
    max_streams: Annotated[
        int,
        flag("--max-streams", metavar="COUNT", min=1, help="Maximum number of open streams."),
    ] = 10_000,
    max_watches: Annotated[
        int,
        flag("--max-watches", metavar="COUNT", min=1, help="Maximum number of running watches."),
    ] = 2_000,
    max_token_streams: Annotated[
        int,
        flag(
            "--max-token-streams",
            metavar="COUNT",
            min=1,
            help="Maximum number of open streams of one token name (without tokens: of all).",
        ),
    ] = 1_000,
    max_token_watches: Annotated[
        int,
        flag(
            "--max-token-watches",
            metavar="COUNT",
            min=1,
            help="Maximum number of watches with state of one token name (without tokens: of all).",
        ),
    ] = 1_000,
    max_token_entries: Annotated[
        int,
        flag(
            "--max-token-entries",
            metavar="COUNT",
            min=1,
            help="Maximum number of indexed files and objects of one token name (without tokens: "
            "of all).",
        ),
    ] = 20_000_000,
    max_token_journal_bytes: Annotated[
        int,
        flag(
            "--max-token-journal-bytes",
            metavar="BYTES",
            min=1,
            help="Maximum size in bytes of the unconfirmed events of one token name (without "
            "tokens: of all).",
        ),
    ] = 1 << 30,
    max_config_bytes: Annotated[
        int | None,
        flag(
            "--max-config-bytes",
            metavar="BYTES",
            help="Has no effect and will be removed in 0.3.",
        ),
    ] = None,
    log_format: Annotated[
        Literal["auto", "json", "console"],
        flag(
            "--log-format",
            help="Format of the log on standard error; auto is console on a terminal, else json.",
        ),
    ] = "auto",
    verbose: Verbose = False,
) -> None:
    """Run the server.

    Without any --allow flag every place may be watched, but the server listens on loopback or a
    unix socket only. With NAME= before it, a value is allowed to the token of that name only.
    """
    from watcher.server import serve as run_server  # noqa: PLC0415 - the server's libraries take 0.3 s; --help needs none

    log = configure_logs(log_format, verbose=verbose)
    if max_config_bytes is not None:
        log.warning(
            "server.deprecated",
            flag="--max-config-bytes",
            hint="remove it: a configuration has at most 16 KiB",
        )
    settings = ServerSettings(
        listen=listen,
        state=parse_state(state) if state else default_state(),
        node=node or default_node(),
        http_listen=http or None,
        allow_directories=tuple(allow_directory or ()),
        allow_buckets=tuple(allow_bucket or ()),
        allow_endpoints=tuple(allow_endpoint or ()),
        allow_roles=tuple(allow_role or ()),
        allow_profiles=tuple(allow_profile or ()),
        allow_queues=tuple(allow_queue or ()),
        endpoint_authorities=tuple(endpoint_ca or ()),
        confirms_subscriptions=confirm_subscriptions,
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
        backend=backend,
    )
    asyncio.run(run_server(settings))
