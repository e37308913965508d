"""Makes bucket sources, and reads them as a whole."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from watcher.clock import Clock
from watcher.filters.markers import filter_of
from watcher.model import Entry
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.sources.s3.source import BucketSource
from watcher.sources.s3.version_source import VersionSource
from watcher.spec import BucketSpec, Conditions, Filter, Spec

OpenSource: TypeAlias = Callable[..., BucketSource]


class Server(Protocol):
    """A real or a simulated S3 server."""

    @property
    def endpoint_url(self) -> str: ...

    def environment(self) -> dict[str, str]:
        """Return the environment variables with its credentials."""


def make_source(
    spec: BucketSpec,
    *,
    exclude: tuple[str, ...] = (),
    should_stop: Callable[[], bool] = lambda: False,
    authorities: EndpointAuthorities | None = None,
    clock: Clock | None = None,
    conditions: Conditions | None = None,
) -> BucketSource:
    """Return a source that is not open, and never stops by default."""
    path_filter = filter_of(
        Spec(spec, filter=Filter(exclude=exclude), conditions=conditions or Conditions())
    )
    kind = VersionSource if spec.versions else BucketSource
    return kind(
        spec,
        path_filter,
        should_stop=should_stop,
        clock=clock or Clock(),
        authorities=authorities or EndpointAuthorities(),
    )


def read(source: BucketSource) -> list[Entry]:
    """Return the entries of one full scan."""
    return [entry for batch in source.scan() for entry in batch.entries]


def paths(entries: Iterable[Entry]) -> list[bytes]:
    """Return the paths in byte order, each as often as it was listed."""
    return sorted(entry.path for entry in entries)
