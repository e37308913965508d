"""The spec: the validated configuration of one event source, as values.

Two specs are equal if their configurations ask for the same, however they were written. Streams
with equal specs share a watch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote_from_bytes

from watcher.model import ChangeType, SourceKind
from watcher.queue_address import QueueAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

    Json: TypeAlias = bool | int | float | str | list["Json"] | Mapping[str, "Json"] | None


MAX_CONFIG_BYTES = 16 * 1024
"""Maximum size of a configuration in bytes."""


class Mode(StrEnum):
    """How a directory is watched."""

    AUTO = "auto"
    NOTIFY = "notify"
    POLL = "poll"


class AddressingStyle(StrEnum):
    """Where the bucket name is in a request to S3."""

    AUTO = "auto"
    PATH = "path"
    VIRTUAL = "virtual"


class Existing(StrEnum):
    """What happens to entries that exist when a watch starts for the first time."""

    SKIP = "skip"
    REPORT = "report"


class Temporary(StrEnum):
    """What happens to files with names that are used only for a while."""

    SKIP = "skip"
    REPORT = "report"


class Format(StrEnum):
    """The shape of a payload."""

    FLAT = "flat"
    CLOUDEVENTS = "cloudevents"
    S3 = "s3"


class HintKind(StrEnum):
    """How hints about a bucket arrive."""

    QUEUE = "queue"
    """As messages of a queue of Amazon SQS."""
    WEBHOOK = "webhook"
    """As requests to ``POST /hint``."""
    STREAM = "stream"
    """As the answer to a listen request (MinIO, RustFS)."""


class Detail(StrEnum):
    """What may be asked of a store about an object that is reported, beside what a listing says."""

    CONTENT_TYPE = "content_type"
    METADATA = "metadata"
    TAGS = "tags"


class Confirm(StrEnum):
    """What confirms an event."""

    TIME = "time"
    ACK = "ack"


class Attribute(StrEnum):
    """An attribute of a file that may be compared, as stat(2) reports it."""

    SIZE = "size"
    MTIME = "mtime"
    CTIME = "ctime"
    INODE = "inode"


ALL_ATTRIBUTES = frozenset(Attribute)


@dataclass(frozen=True, slots=True)
class Compare:
    """Which differences make a file modified.

    Attributes:
        attributes: A file is modified if one of these differs.
        is_auto: The inode is left out where the file system makes it up, and where all inodes have
            changed at once; otherwise ``attributes`` are taken literally.
        is_content: A file whose attributes differ is modified if its content differs, as far as the
            content can be read.
    """

    attributes: frozenset[Attribute] = ALL_ATTRIBUTES
    is_auto: bool = True
    is_content: bool = False


@dataclass(frozen=True, slots=True)
class DirectorySpec:
    """A directory to watch.

    Attributes:
        path: Absolute and normalised, symbolic links not resolved.
        recursive: Subdirectories too.
        mode: By notifications, by polling, or by notifications where they work.
        poll_interval_s: Seconds between two scans when polling.
        rescan_interval_s: Seconds between two safety scans when notified.
        settle_s: Seconds without a write after which a file that is still open counts as complete.
        quiet_s: Seconds without a touch after which a file is complete; what happens within them
            is one change.
        max_wait_s: Seconds after which a file that is never complete is reported as it is.
        follow_symlinks: A link to a file counts as the file; links to directories inside the root
            are followed.
        compare: Which differences make a file modified.
        temporary: What happens to files with temporary names.
    """

    path: str
    recursive: bool = True
    mode: Mode = Mode.AUTO
    poll_interval_s: float = 10.0
    rescan_interval_s: float = 900.0
    settle_s: float = 0.5
    quiet_s: float = 0.0
    max_wait_s: float = 3600.0
    follow_symlinks: bool = True
    compare: Compare = field(default_factory=Compare)
    temporary: Temporary = Temporary.SKIP

    @property
    def kind(self) -> SourceKind:
        """The adapter that reads it."""
        return SourceKind.DIRECTORY

    @property
    def place(self) -> str:
        """The canonical URI, percent-encoded, ``file:///data/in`` (``file:///`` for the root)."""
        return "file://" + quote_from_bytes(os.fsencode(self.path))


@dataclass(frozen=True, slots=True)
class Notifications:
    """How a bucket gives hints.

    Attributes:
        kind: How they arrive.
        queue_url: URL of the queue, in normal form; None unless they arrive in one.
    """

    kind: HintKind
    queue_url: str | None = None


LOOKBACK_S = 48 * 3600.0
"""Seconds for which a date in a prefix belongs to the place by default."""


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """A bucket, or the part of it under a prefix, to watch.

    Attributes:
        bucket: Its name, access point ARN or alias; ``tenant:bucket`` at an endpoint that has
            tenants.
        prefix: Keys begin with this text, which need not end at a slash; may be empty, and may have
            dates (``filters/dated_prefix``).
        region: AWS region; None takes that of the environment.
        endpoint_url: URL of the store, without a trailing slash; None for AWS.
        addressing_style: Where the bucket name goes.
        profile: Profile of the shared AWS configuration; None for the default.
        role_arn: Role to assume; None for none.
        anonymous: Requests are not signed, and no credentials are looked up.
        request_payer: The requester pays.
        poll_interval_s: Seconds between two listings while no hints arrive; with a budget, the
            minimum.
        request_budget: LIST requests in 30 days that the interval keeps to (``sources/cost``); None
            for a fixed interval.
        list_workers: Maximum number of pages fetched at once; None lets the server choose.
        quiet_s: Seconds between two listings that must agree on an object before it is reported.
        list_version: Version of ListObjects that is requested; None finds out which the store has.
        notifications: How the bucket gives hints; None for none.
        backstop_interval_s: Seconds between two listings while hints arrive; None for as many as
            without.
        lookback_s: Seconds for which a date in the prefix belongs to the place.
        versions: Every version of an object is an event.
        details: What is asked of the store about each object that is reported.
    """

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    addressing_style: AddressingStyle = AddressingStyle.AUTO
    profile: str | None = None
    role_arn: str | None = None
    anonymous: bool = False
    request_payer: bool = False
    poll_interval_s: float = 30.0
    request_budget: int | None = None
    list_workers: int | None = None
    quiet_s: float = 0.0
    list_version: int | None = None
    notifications: Notifications | None = None
    backstop_interval_s: float | None = None
    lookback_s: float = LOOKBACK_S
    versions: bool = False
    details: frozenset[Detail] = frozenset()

    @property
    def kind(self) -> SourceKind:
        """The adapter that reads it."""
        return SourceKind.S3

    @property
    def queue(self) -> QueueAddress | None:
        """The queue that hints arrive in; None where they arrive in none."""
        url = self.notifications.queue_url if self.notifications else None
        return None if url is None else QueueAddress.parse(url)

    @property
    def has_tenant(self) -> bool:
        """Whether the bucket is named as ``tenant:bucket``."""
        return ":" in self.bucket and not self.bucket.startswith("arn:")

    @property
    def place(self) -> str:
        """The canonical URI, ``s3://bucket/prefix``, percent-encoded; ``?endpoint=`` if not AWS."""
        uri = f"s3://{self.bucket}/{quote_from_bytes(self.prefix.encode())}"
        return f"{uri}?endpoint={self.endpoint_url}" if self.endpoint_url else uri


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries count.

    Attributes:
        include: Globs and expressions of which one must match, as ``PathFilter`` reads them; empty
            admits all.
        exclude: Globs and expressions of which none may match.
        match_case: They take account of case and of normal forms.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    match_case: bool = True


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an entry must satisfy to be reported.

    Attributes:
        marker: Name of the file that must be there, see ``filters.markers``; None for none.
        min_size: Bytes; smaller entries are held back.
        max_size: Bytes; larger entries are held back. None holds back none.
        max_age_s: Entries whose last modification is further back than these seconds when they are
            first met are recorded and not reported. None reports all.
    """

    marker: str | None = None
    min_size: int = 0
    max_size: int | None = None
    max_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """How many events a payload has.

    Attributes:
        max_events: Maximum number; 1 makes payloads of single events, without an envelope.
        max_wait_s: Seconds after which a payload that is not full leaves.
    """

    max_events: int = 1
    max_wait_s: float = 0.0


ENTRY_TYPES = frozenset(ChangeType) - {ChangeType.COMPLETED}
"""Types of the changes of single entries."""


@dataclass(frozen=True, slots=True)
class Group:
    """Which entries make a group, and when it has come to rest.

    Attributes:
        depth: Path components that make a group; 0 for the whole place.
        quiet_s: Seconds without a change after which a group has come to rest.
        min_entries: A group with fewer entries is not reported.
    """

    depth: int = 1
    quiet_s: float = 300.0
    min_entries: int = 1


@dataclass(frozen=True, slots=True)
class Spec:
    """The validated configuration of one event source.

    Attributes:
        where: The directory or bucket.
        id: Name of the watch; None takes the name of the event source.
        filter: Which entries count.
        conditions: What an entry must satisfy to be reported.
        group: Which groups of entries are reported when they have come to rest; None for none.
        events: Which changes are reported.
        existing: What happens to entries found at the first start.
        format: The shape of a payload.
        metadata: Copied into every event; JSON values only.
        batch: How many events a payload has.
        confirm: What confirms an event.
        ack_timeout_s: Seconds after which an event that is not acknowledged is written again.
        rate_per_s: Payloads per second that are written to a stream; None for no bound.
        max_unacknowledged: Maximum number of payloads that are written and not acknowledged, over
            all streams; None for no bound.
    """

    where: DirectorySpec | BucketSpec
    id: str | None = None
    filter: Filter = field(default_factory=Filter)
    conditions: Conditions = field(default_factory=Conditions)
    group: Group | None = None
    events: frozenset[ChangeType] = ENTRY_TYPES
    existing: Existing = Existing.SKIP
    format: Format = Format.FLAT
    metadata: Mapping[str, Json] = field(default_factory=dict)
    batch: Batch = field(default_factory=Batch)
    confirm: Confirm = Confirm.TIME
    ack_timeout_s: float = 60.0
    rate_per_s: float | None = None
    max_unacknowledged: int | None = None

    @property
    def skips_temporary(self) -> bool:
        """Whether files with temporary names are left out."""
        return isinstance(self.where, DirectorySpec) and self.where.temporary is Temporary.SKIP

    @property
    def may_wait(self) -> bool:
        """Whether an entry, a group or an event may wait though it is complete."""
        asked = self.conditions
        return (
            asked.marker is not None
            or asked.min_size > 0
            or asked.max_size is not None
            or self.group is not None
            or self.rate_per_s is not None
            or self.max_unacknowledged is not None
        )


@dataclass(frozen=True, slots=True)
class AuthorizedSpec:
    """A spec that a principal may run.

    Attributes:
        spec: What to watch.
        within: Directories, free of links, that may be read; a directory must lie in one of them,
            and so must every file that a link leads to. None allows any.
        document: The configuration as the client has sent it; empty if it is not known.
    """

    spec: Spec
    within: tuple[str, ...] | None
    document: bytes = b""
