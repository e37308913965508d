"""Compares the files of a tree by content, where its spec wants that: what is read, and when.

A file that differs by its attributes waits for its digest. What was read counts only for the file
as it is found afterwards.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watcher.model import Rescan
from watcher.sources.directory.digests import Digests
from watcher.sources.observations import Subtree
from watcher.sources.scans import BATCH_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from watcher.clock import Clock
    from watcher.filesystem.port import Files
    from watcher.model import Entry
    from watcher.sources.directory.digest_readers import DigestReaders
    from watcher.sources.directory.digests import Result
    from watcher.sources.directory.hints import HintQueue
    from watcher.sources.observations import Inspection, Observation
    from watcher.spec import DirectorySpec


class Contents:
    """The contents of one tree, from ``open`` to ``close``. For one thread.

    Args:
        spec: Whether contents are compared.
        files: Opens directories and files.
        hints: Receives the files that are to be inspected again.
        readers: The threads that read contents; a spec that compares contents needs them.
        within: Directories, free of links, that may be read; None allows any.
        has_stable_inodes: Returns whether the inode of the file at a path stays the same.
        clock: The time.

    Attributes:
        digests: What is read; None where contents are not compared, and before ``open``.
    """

    def __init__(  # noqa: PLR0913 - all that the reading of contents depends on
        self,
        spec: DirectorySpec,
        files: Files,
        hints: HintQueue,
        *,
        readers: DigestReaders | None,
        within: Sequence[str] | None,
        has_stable_inodes: Callable[[bytes], bool],
        clock: Clock,
    ) -> None:
        self.digests: Digests | None = None
        self._spec = spec
        self._files = files
        self._hints = hints
        self._readers = readers
        self._within = within
        self._has_stable_inodes = has_stable_inodes
        self._clock = clock
        self._retry_due_s = 0.0

    def open(self, wake: Callable[[], None]) -> None:
        """Start to read contents, if they are compared.

        Args:
            wake: Called from any thread when a content has been read.

        Raises:
            WatcherError: See ``Root.open``.
        """
        if not self._spec.compare.is_content:
            return
        assert self._readers is not None  # noqa: S101 - the factory gives them
        self.digests = Digests(
            self._spec,
            self._files,
            within=self._within,
            readers=self._readers,
            has_stable_inodes=self._has_stable_inodes,
            wake=wake,
        )

    def close(self) -> None:
        """Drop everything; a reading ends soon after."""
        if self.digests is not None:
            self.digests.close()
            self.digests = None

    @property
    def degraded(self) -> str:
        """Which contents cannot be read; empty if none."""
        if self.digests is None or not (unreadable := self.digests.unreadable):
            return ""
        count = f"{len(unreadable)} file{'s'[: len(unreadable) > 1]}"
        return (
            f"the content of {count} cannot be read, so attributes are compared, "
            f"such as those of {os.fsdecode(min(unreadable))!r}"
        )

    @property
    def is_idle(self) -> bool:
        """Whether no content waits to be read."""
        return self.digests is None or self.digests.is_idle

    def unsettled(self) -> Iterable[bytes]:
        """Return the paths of changed files whose contents are read; see ``Digests.unsettled``."""
        return () if self.digests is None else self.digests.unsettled()

    def add(self, entries: Sequence[Entry], attributes_only: Collection[bytes]) -> list[Entry]:
        """See ``protocol.Source.digest``."""
        return list(entries) if self.digests is None else self.digests.add(entries, attributes_only)

    def learn(self, entries: Sequence[Entry]) -> None:
        """See ``protocol.Source.learn_digests``."""
        if self.digests is not None:
            self.digests.learn(entries)

    def discard(self, paths: Sequence[bytes]) -> None:
        """Forget the files at paths at which nothing is any more."""
        if self.digests is not None:
            self.digests.discard(paths)

    def due_s(self) -> float:
        """Return when ``observe`` has something without a wake, on the monotonic clock."""
        is_retried = self.digests is not None and self.digests.unreadable
        return self._retry_due_s if is_retried else float("inf")

    def observe(
        self, now_s: float, inspect: Callable[[Sequence[bytes]], Inspection]
    ) -> Iterator[Observation]:
        """Yield the files whose contents were read, and have those tried again that could not.

        Args:
            now_s: The time.
            inspect: Inspects paths, as ``protocol.Source.inspect``.
        """
        digests = self.digests
        if digests is None:
            return
        results = digests.take()
        for start in range(0, len(results), BATCH_ENTRIES):
            yield self._digested(digests, results[start : start + BATCH_ENTRIES], inspect)
        if digests.end_overflow():
            yield Subtree(b"", Rescan.MANY_HINTS)
        if now_s >= self._retry_due_s:
            self._retry_due_s = now_s + self._spec.poll_interval_s
            self._hints.recheck(digests.unreadable, now_s)

    def _digested(
        self,
        digests: Digests,
        results: Sequence[Result],
        inspect: Callable[[Sequence[bytes]], Inspection],
    ) -> Inspection:
        """Return files with their digests; one that has changed meanwhile is rechecked."""
        by_path = {result.job.entry.path: result for result in results}
        inspection = inspect(list(by_path))
        entries: list[Entry] = []
        for entry in inspection.entries:
            result = by_path[entry.path]
            job = result.job
            if digests.settle(result, entry):
                entries.append(entry._replace(etag=result.digest))
                if job.attributes_only:
                    inspection.attributes_only.add(entry.path)
            elif not job.is_background:
                self._hints.recheck([entry.path], self._clock.monotonic())
        inspection.entries, inspection.has_digests = entries, True
        return inspection
