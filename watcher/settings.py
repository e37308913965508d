"""The settings of a server; ``cli/serve.py`` makes them from flags and the environment."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class BackendChoice(StrEnum):
    """How directories are watched."""

    AUTO = "auto"
    LINUX = "linux"
    PORTABLE = "portable"


DATABASE_SCHEMES = ("postgresql://", "postgres://")
"""How the URL of a database begins."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The URL of a database that keeps the state. It may have a password, so it is never printed.

    Attributes:
        text: The URL.
    """

    text: str = field(repr=False)

    def __str__(self) -> str:
        """Return no more than its kind."""
        return "the database of --state"


def parse_state(text: str) -> Path | DatabaseUrl:
    """Return the directory, or the URL of a database, that keeps the state."""
    return DatabaseUrl(text) if text.startswith(DATABASE_SCHEMES) else Path(text)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What ``watcher serve`` is started with.

    Attributes:
        listen: ``host:port`` or ``unix:/path``; port 0 takes a free one.
        state: Directory of the state files, or the URL of a database.
        node: Name of the machine, or of the node of Kubernetes; empty in a pod that was not told.
        http_listen: ``host:port`` of metrics, probes and status; None for no HTTP port.
        allow_directories: Directories that may be watched, with everything below;
            ``name=directory`` is for the token of that name only. If all six lists are empty,
            everything may be watched.
        allow_buckets: Globs of bucket names, or ``name=glob``.
        allow_endpoints: Endpoint URLs, or ``name=URL``.
        allow_roles: Globs of ARNs of roles that may be assumed, or ``name=glob``.
        allow_profiles: Globs of AWS profiles that may be used, or ``name=glob``.
        allow_queues: Globs of URLs of queues that may be read, or ``name=glob``.
        endpoint_authorities: ``URL=FILE`` each: authorities that are trusted for an S3 endpoint.
        confirms_subscriptions: Subscriptions of topics of SNS to ``/hint`` are confirmed.
        token_file: File with lines of ``name:token``; None if clients need no token.
        tls_cert: PEM file of the server's certificate chain.
        tls_key: PEM file of its key.
        tls_client_ca: PEM file of the authorities whose client certificates are accepted.
        redelivery_window_s: Seconds after which an event written to a live stream is confirmed.
        idle_timeout_s: Seconds without a stream after which a watch stops.
        journal_cap: Unconfirmed events at which a watch stops reading its place.
        journal_retention_s: Seconds that a confirmed event is kept, so that it can be replayed.
        max_streams: Streams at once.
        max_watches: Running watches at once.
        max_token_streams: Streams at once of one principal.
        max_token_watches: Watches of one principal whose state is kept, running or not.
        max_token_entries: Files and objects in the indexes of one principal.
        max_token_journal_bytes: Bytes of unconfirmed payloads of one principal.
        backend: How directories are watched.
    """

    listen: str = "127.0.0.1:8080"
    state: Path | DatabaseUrl = Path("state")
    node: str = field(default_factory=platform.node)
    http_listen: str | None = "127.0.0.1:8081"
    allow_directories: tuple[str, ...] = ()
    allow_buckets: tuple[str, ...] = ()
    allow_endpoints: tuple[str, ...] = ()
    allow_roles: tuple[str, ...] = ()
    allow_profiles: tuple[str, ...] = ()
    allow_queues: tuple[str, ...] = ()
    endpoint_authorities: tuple[str, ...] = ()
    confirms_subscriptions: bool = False
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    redelivery_window_s: float = 30.0
    idle_timeout_s: float = 600.0
    journal_cap: int = 100_000
    journal_retention_s: float = 0.0
    max_streams: int = 10_000
    max_watches: int = 2_000
    max_token_streams: int = 1_000
    max_token_watches: int = 1_000
    max_token_entries: int = 20_000_000
    max_token_journal_bytes: int = 1 << 30
    backend: BackendChoice = BackendChoice.AUTO


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long the payloads of a watch stay in its journal.

    Attributes:
        window_s: Seconds after which a written event is confirmed.
        retention_s: Seconds that a confirmed event is kept, so that it can be replayed.
    """

    window_s: float
    retention_s: float = 0.0
