"""The settings of a server, as values; ``cli.py`` makes them from flags and the environment. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What ``watcher serve`` can be told.

    Attributes:
        listen: ``host:port`` or ``unix:/path``; port 0 takes a free one.
        state_directory: Where state files are.
        http_listen: ``host:port`` of metrics, health and status; None for none.
        allow_directories: Directories that may be watched, with all below; ``name=directory`` counts for the token of that name only. With
            all five lists empty, everything may be watched.
        allow_buckets: Globs of bucket names, likewise.
        allow_endpoints: Endpoint URLs, likewise.
        allow_roles: Globs of ARNs of roles that may be assumed, likewise.
        allow_profiles: Globs of profiles that may be used, likewise.
        token_file: Lines of ``name:token``; None lets everyone in.
        tls_cert: PEM file of the server's certificate chain.
        tls_key: PEM file of its key.
        tls_client_ca: PEM file of the authorities whose clients are let in.
        redelivery_window_s: Seconds after which an event that was written on a living stream is confirmed.
        idle_timeout_s: Seconds without a stream after which a watch stops.
        journal_cap: Events that a watch holds unconfirmed before it stops looking.
        journal_retention_s: Seconds for which a confirmed event is kept, so that it can be replayed.
        max_streams: Streams at once.
        max_watches: Watches that run at once.
        max_token_streams: Streams at once of one principal.
        max_token_watches: Watches of one principal whose state is kept, whether they run or not.
        max_token_entries: Files and objects in the indexes of one principal.
        max_token_journal_bytes: Bytes of unconfirmed payloads of one principal.
    """

    listen: str = "127.0.0.1:8080"
    state_directory: Path = Path("state")
    http_listen: str | None = "127.0.0.1:8081"
    allow_directories: tuple[str, ...] = ()
    allow_buckets: tuple[str, ...] = ()
    allow_endpoints: tuple[str, ...] = ()
    allow_roles: tuple[str, ...] = ()
    allow_profiles: tuple[str, ...] = ()
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


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """What the server grants a watch.

    Attributes:
        journal_cap: Unconfirmed changes at which it stops looking.
        window_s: Seconds after which a written event is confirmed.
        retention_s: Seconds for which a confirmed event can be replayed.
    """

    journal_cap: int
    window_s: float
    retention_s: float = 0.0
