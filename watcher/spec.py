"""The spec: the validated configuration of one event source, as values. ``config.py`` makes it; nothing here reads or checks input.

Two specs that are equal ask for the same thing, however their configurations were written; streams share a watch by this.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote_from_bytes

from watcher.model import ChangeType, SourceKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    Json: TypeAlias = bool | int | float | str | list["Json"] | Mapping[str, "Json"] | None


class Mode(StrEnum):
    """How changes in a directory are noticed."""

    AUTO = "auto"
    NOTIFY = "notify"
    POLL = "poll"


class AddressingStyle(StrEnum):
    """Where the bucket name stands in a request to S3."""

    AUTO = "auto"
    PATH = "path"
    VIRTUAL = "virtual"


class Existing(StrEnum):
    """What becomes of entries that are there when a watch starts for the first time."""

    SKIP = "skip"
    REPORT = "report"


class Format(StrEnum):
    """The shape of a payload."""

    FLAT = "flat"
    CLOUDEVENTS = "cloudevents"
    S3 = "s3"


class Confirm(StrEnum):
    """What confirms an event."""

    TIME = "time"
    ACK = "ack"


@dataclass(frozen=True, slots=True)
class DirectorySpec:
    """A directory to watch.

    Attributes:
        path: Absolute and normalised, symbolic links not resolved.
        recursive: Subdirectories too.
        mode: Notifications, polling, or whichever works there.
        poll_interval_s: Seconds between two scans when polling.
        rescan_interval_s: Seconds between two safety scans when notified.
        settle_s: Seconds without a write after which a file that is still open counts as ready.
        follow_symlinks: Links to files count as the file, links to directories inside the root are followed.
    """

    path: str
    recursive: bool = True
    mode: Mode = Mode.AUTO
    poll_interval_s: float = 10.0
    rescan_interval_s: float = 900.0
    settle_s: float = 0.5
    follow_symlinks: bool = True

    @property
    def kind(self) -> SourceKind:
        """The adapter that reads this."""
        return SourceKind.DIRECTORY

    @property
    def place(self) -> str:
        """The canonical URI, ``file:///data/in``, percent-encoded, without a trailing slash (but ``file:///`` for the root)."""
        return "file://" + quote_from_bytes(os.fsencode(self.path))


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A bucket, or the part of it under a prefix, to watch.

    Attributes:
        bucket: Its name, access point ARN or alias.
        prefix: Keys begin with this; may be empty; a plain string prefix, not a directory.
        region: AWS region; None leaves it to the standard chain.
        endpoint_url: The store, without a trailing slash; None for AWS.
        addressing_style: Where the bucket name goes.
        profile: Profile of the shared AWS configuration; None for the default.
        role_arn: Role to assume; None for none.
        request_payer: The requester pays.
        poll_interval_s: Seconds between two listings; with a budget the fewest.
        request_budget: LIST requests in 30 days that the interval is chosen for, see ``cost.py``; None for an interval that stays.
        list_workers: How many listings at once; None lets the server choose.
    """

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    addressing_style: AddressingStyle = AddressingStyle.AUTO
    profile: str | None = None
    role_arn: str | None = None
    request_payer: bool = False
    poll_interval_s: float = 30.0
    request_budget: int | None = None
    list_workers: int | None = None

    @property
    def kind(self) -> SourceKind:
        """The adapter that reads this."""
        return SourceKind.S3

    @property
    def place(self) -> str:
        """The canonical URI, ``s3://bucket/prefix``, percent-encoded, with ``?endpoint=`` where the store is not AWS."""
        uri = f"s3://{self.bucket}/{quote_from_bytes(self.prefix.encode())}"
        return f"{uri}?endpoint={self.endpoint_url}" if self.endpoint_url else uri


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries count.

    Attributes:
        include: Globs of which one must match; empty admits all. See ``patterns.py``.
        exclude: Globs of which none may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """How many changes go into one payload.

    Attributes:
        max_events: At most this many; 1 makes payloads of single events without an envelope.
        max_wait_s: A payload that is not full leaves after this many seconds.
    """

    max_events: int = 1
    max_wait_s: float = 0.0


ALL_TYPES = frozenset(ChangeType)


@dataclass(frozen=True, slots=True)
class Spec:
    """The validated configuration of one event source.

    Attributes:
        where: The directory or bucket.
        id: Names the watch; None leaves it to the event name.
        filter: Which entries count.
        events: Which changes are reported.
        existing: What becomes of entries found at the first start.
        format: The shape of a payload.
        metadata: Copied into every event; JSON values only.
        batch: How many changes go into one payload.
        confirm: What confirms an event.
        ack_timeout_s: Seconds after which an event that is not acknowledged is written again.
    """

    where: DirectorySpec | BucketSpec
    id: str | None = None
    filter: Filter = field(default_factory=Filter)
    events: frozenset[ChangeType] = ALL_TYPES
    existing: Existing = Existing.SKIP
    format: Format = Format.FLAT
    metadata: Mapping[str, Json] = field(default_factory=dict)
    batch: Batch = field(default_factory=Batch)
    confirm: Confirm = Confirm.TIME
    ack_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class AuthorizedSpec:
    """A spec that a principal may run.

    Attributes:
        spec: What to watch.
        within: Directories, free of links, that may be read; a directory must lie in one of them,
            and so must every file that a link leads to. None allows any.
    """

    spec: Spec
    within: tuple[str, ...] | None
