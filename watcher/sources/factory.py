"""Makes the source of a spec, and owns the backend of directories that all sources share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import StateError
from watcher.filesystem.choice import is_linux
from watcher.filters.markers import filter_of
from watcher.security.endpoint_authorities import EndpointAuthorities
from watcher.settings import BackendChoice
from watcher.sources.directory.digest_readers import DigestReaders
from watcher.spec import DirectorySpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from watcher.clock import Clock
    from watcher.sources.directory.port import Backend
    from watcher.sources.protocol import Source
    from watcher.spec import AuthorizedSpec


class Sources:
    """The sources of one server. Thread-safe.

    Args:
        clock: The time.
        backend: How directories are watched; closed with this.
        state: The server's state directory, which no source may watch; None if there is none.
        authorities: Trusted for endpoints of buckets beside the public ones; None for no others.
        node: The machine's name, where servers on several machines share the state; empty if it is
            unknown, None where they do not.
    """

    def __init__(
        self,
        clock: Clock,
        backend: Backend,
        state: Path | None = None,
        authorities: EndpointAuthorities | None = None,
        node: str | None = None,
    ) -> None:
        self._clock = clock
        self._state = state
        self._authorities = authorities or EndpointAuthorities()
        self._node = node
        self._backend = backend
        self._digest_readers = DigestReaders()

    def make(self, authorized: AuthorizedSpec, should_stop: Callable[[], bool]) -> Source:
        """Return a source for a spec, not yet opened.

        Args:
            authorized: What to read, and the directories that it must keep to.
            should_stop: Asked between the requests of a scan; True ends it.
        """
        spec = authorized.spec
        path_filter = filter_of(spec)
        if isinstance(spec.where, DirectorySpec):
            from watcher.sources.directory.source import DirectorySource  # noqa: PLC0415 - 2 MB

            return DirectorySource(
                spec.where,
                path_filter,
                self._backend,
                self._clock,
                within=authorized.within,
                node=self._node,
                state=self._state,
                digest_readers=self._digest_readers,
            )
        from watcher.sources.s3.source import BucketSource  # noqa: PLC0415 - boto3 takes 0.3 s
        from watcher.sources.s3.version_source import VersionSource  # noqa: PLC0415 - likewise

        kind = VersionSource if spec.where.versions else BucketSource
        return kind(
            spec.where,
            path_filter,
            should_stop=should_stop,
            clock=self._clock,
            authorities=self._authorities,
        )

    def close(self) -> None:
        """Release the backend and the readers; every source must be closed before."""
        self._backend.close()
        self._digest_readers.close()

    @property
    def descriptors(self) -> int:
        """Number of watch descriptors of the kernel in use."""
        return self._backend.descriptors

    @property
    def is_deaf(self) -> bool:
        """Whether notifications are in use, but the thread that reads them has ended."""
        return self._backend.is_deaf


def open_backend(choice: BackendChoice) -> Backend:
    """Return the way in which directories are watched.

    Raises:
        StateError: It needs Linux, and this is another system.
    """
    if choice is BackendChoice.LINUX and not is_linux():
        raise StateError(
            "this system is not Linux",
            place="--backend linux",
            hint="leave it out, or use --backend portable",
        )
    if choice is BackendChoice.PORTABLE or not is_linux():
        from watcher.sources.directory.portable.backend import PortableBackend  # noqa: PLC0415 - one is used

        return PortableBackend()
    from watcher.sources.directory.linux.backend import LinuxBackend  # noqa: PLC0415 - elsewhere it fails

    return LinuxBackend()
