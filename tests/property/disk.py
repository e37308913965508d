"""Operations on real files in a directory, and the files that a watch of it should know."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

from hypothesis import strategies as st

from support.files import exchange
from watcher.filters.path_filter import PathFilter
from watcher.spec import Filter

Version: TypeAlias = tuple[int, int, int]  # size, mtime in nanoseconds, inode
Operation: TypeAlias = tuple[str, int, bytes]


FILTER = Filter(exclude=("*.tmp", "skip/", ".barrier*"))
# A file can become a directory later. ``out`` is not watched.
ROOT, OUTSIDE = b"root/", b"out/"
DIRECTORIES = [b"root/d", b"root/d/e", b"root/x", b"root/skip", b"out/d"]
FILES = [
    *(b"root/a", b"root/b", b"root/b.tmp", b"root/d/a", b"root/d/e/a", b"root/x/a"),
    *(b"root/skip/a", b"out/a", b"out/d/a"),
]
UNLINKED = [
    *("write", "append", "hold", "replace", "rename", "exchange", "unlink", "recreate", "mkdir"),
    *("rmtree", "chmod", "utime"),
]
LINKED = [*UNLINKED, "symlink", "retarget", "loop"]

TIMES_NS = [10**18, 10**18 + 1, 4 * 10**18]

names = st.sampled_from([*FILES, *DIRECTORIES])
NEEDS_NOTHING = {"write", "hold", "mkdir", "symlink", "loop"}


def operations(kinds: Sequence[str], more: Sequence[bytes] = ()) -> st.SearchStrategy[Operation]:
    """Return a strategy of operations, with many renames, which have most ways to go wrong.

    Args:
        kinds: What happens.
        more: Names of files beside the usual ones.
    """
    some = names | st.sampled_from(more) if more else names
    return st.tuples(st.sampled_from([*kinds, "rename", "rename"]), st.integers(0, 31), some)


class Disk:
    """A watched and an unwatched directory side by side, and the operations on them.

    No two contents have the same size: two writes within one tick of the file system's clock have
    equal times.
    """

    def __init__(self, base: bytes) -> None:
        self.root = base + ROOT
        self._base = base
        self._size_bytes = 0
        self._held: list[int] = []
        os.mkdir(base + ROOT)
        os.mkdir(base + OUTSIDE)

    def perform(self, operation: Operation) -> None:
        """Perform an operation, or do nothing if it is impossible.

        Args:
            operation: Its kind, the number of an existing path, and a name, which may be free.
        """
        kind, number, name = operation
        there = sorted(self._everything(self._base))
        some = there[number % len(there)] if there else self._base + name
        with suppress(OSError):
            if kind in NEEDS_NOTHING:
                getattr(self, f"_{kind}")(self._base + name, some)
            else:
                other = (
                    there[len(name) * number % len(there)]
                    if kind == "exchange" and there
                    else self._base + name
                )
                getattr(self, f"_{kind}")(some, other)

    def _everything(self, directory: bytes) -> Iterator[bytes]:
        """Yield the real paths of everything but the two directories themselves."""
        for parent, directories, files in os.walk(directory):
            if parent != directory:
                yield from (
                    os.path.join(parent, name)
                    for name in directories + files
                    if not name.startswith(b".barrier")
                )

    def release(self) -> None:
        """Close the files that are held open."""
        while self._held:
            os.close(self._held.pop())

    def files(self) -> dict[bytes, Version]:
        """Return the files that a stream should report, with the targets of links."""
        return dict(self._files(self.root, b"", ()))

    def is_plain(self, path: bytes) -> bool:
        """Return whether no part of a path is a link."""
        parts = path.split(b"/")
        return not any(
            os.path.islink(self.root + b"/".join(parts[: end + 1])) for end in range(len(parts))
        )

    def _files(
        self, real: bytes, prefix: bytes, hops: tuple[bytes, ...]
    ) -> Iterator[tuple[bytes, Version]]:
        path_filter = PathFilter(FILTER)
        for name in os.listdir(real):
            path, full = prefix + name, real + name
            target = os.path.realpath(full)
            if os.path.islink(full) and os.path.isdir(target):
                target += b"/"
                is_loop = real.startswith(target) or target in hops
                if (
                    target.startswith(self.root)
                    and not is_loop
                    and path_filter.admits_directory(path)
                ):
                    yield from self._files(target, path + b"/", (*hops, target))
            elif os.path.isdir(full):
                if path_filter.admits_directory(path):
                    yield from self._files(full + b"/", path + b"/", hops)
            elif os.path.isfile(full) and path_filter.admits(path):
                found = os.stat(full)
                yield path, (found.st_size, found.st_mtime_ns, found.st_ino)

    def _new_size(self) -> int:
        self._size_bytes += 1
        return self._size_bytes

    def _write(self, path: bytes, _other: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(bytes(self._new_size()))

    def _append(self, path: bytes, _other: bytes) -> None:
        os.truncate(path, self._new_size())

    def _hold(self, path: bytes, _other: bytes) -> None:
        """Write to a file and keep it open."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._held.append(fd)
        os.ftruncate(fd, self._new_size())

    def _replace(self, path: bytes, _other: bytes) -> None:
        temporary = os.path.dirname(path) + b"/new.tmp"
        self._write(temporary, b"")
        os.replace(temporary, path)

    def _recreate(self, path: bytes, other: bytes) -> None:
        os.unlink(path)
        self._write(path, other)

    def _rename(self, path: bytes, other: bytes) -> None:
        os.rename(path, other)

    def _exchange(self, path: bytes, other: bytes) -> None:
        exchange(path, other)

    def _unlink(self, path: bytes, _other: bytes) -> None:
        os.unlink(path)

    def _mkdir(self, path: bytes, _other: bytes) -> None:
        os.makedirs(path)

    def _rmtree(self, path: bytes, _other: bytes) -> None:
        shutil.rmtree(path)

    def _chmod(self, path: bytes, _other: bytes) -> None:
        if os.path.isfile(path):
            os.chmod(path, os.stat(path).st_mode ^ 0o040)

    def _utime(self, path: bytes, other: bytes) -> None:
        time_ns = TIMES_NS[len(other) % len(TIMES_NS)]
        os.utime(path, ns=(time_ns, time_ns))

    def _symlink(self, path: bytes, other: bytes) -> None:
        os.symlink(other, path)

    def _loop(self, path: bytes, _other: bytes) -> None:
        os.symlink(self.root[:-1], path)

    def _retarget(self, path: bytes, other: bytes) -> None:
        temporary = os.path.dirname(path) + b"/link.tmp"
        os.symlink(other, temporary)
        os.replace(temporary, path)


class Replica:
    """The files that a client derives from events: size and mtime in ns, by path."""

    def __init__(self, files: dict[bytes, Version]) -> None:
        self.files = {path: version[:2] for path, version in files.items()}
        self.seq = 0

    def take(self, data: bytes) -> None:
        """Apply one event, which must fit the events before it."""
        event = json.loads(data)
        path, kind = event["path"].encode(), event["type"]
        assert event["seq"] == self.seq + 1
        self.seq = event["seq"]
        if kind == "completed":
            return
        assert (path in self.files) == (kind in {"modified", "deleted"}) or kind == "moved", event
        if kind == "moved":
            del self.files[event["old_path"].encode()]
        self.files[path] = (event["size"], nanoseconds(event["mtime"]))
        if kind == "deleted":
            del self.files[path]


def nanoseconds(text: str) -> int:
    """Return a time of a payload as nanoseconds since the epoch."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp()) * 10**9 + int(
        fraction.ljust(9, "0") or "0"
    )
