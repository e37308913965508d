"""What a process did to the files of a directory, and which events it sent, as strace saw it; done again to a disk of our own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from system.crashes.disk import Disk, Truncate, Write

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITES = "write,pwrite64,writev,pwritev,pwritev2,fallocate,ftruncate,copy_file_range,sendfile"
NAMES = "open,creat,openat,openat2,unlink,unlinkat,rename,renameat,renameat2,link,linkat"
SYNCS = "fsync,fdatasync,sync_file_range"
SENT_BYTES = 64
"""So much of what was sent is looked at again with what follows: a number may be cut in two."""

_STATE_FILE = re.compile(r".+\.db(-wal|-journal)?")
_LINE = re.compile(rb"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)")
_DESCRIPTOR = re.compile(rb"\d+<([^>]*)>")
_TEXT = re.compile(rb'"([^"]*)"(\.\.\.)?')
_NUMBERS = re.compile(rb", (\d+)")
_PART = re.compile(rb'iov_base="([^"]*)"')
_SEQ = re.compile(rb'"seq":(\d+),')


def launcher(output: Path) -> tuple[str, ...]:
    """Return what runs a command, as the same process, and lets strace write down what it does."""
    flags = (
        "--daemonize",
        "--follow-forks",
        "--seccomp-bpf",
        "--decode-fds=path",
        "--strings-in-hex=all",
        "--string-limit=1000000",
    )
    return ("strace", *flags, f"--trace={WRITES},{NAMES},{SYNCS},sendmsg", f"--output={output}")


def is_complete(output: Path, pid: int) -> bool:
    """Tell whether the end of the process has been written down."""
    return re.search(rf"^{pid} +\+\+\+ ", output.read_text("ascii"), re.MULTILINE) is not None


class Replay:
    """Does again what was done to the state files of a directory, but for SQLite's shared memory.

    A call counts from when it began; a sync, for what had been done before it began, from when it ended.

    Args:
        directory: Absolute.

    Attributes:
        disk: The files.
        sent_seq: The last event that was handed to the network; 0 before the first.
    """

    def __init__(self, directory: Path) -> None:
        self.disk = Disk()
        self.sent_seq = 0
        self._directory = directory
        self._sent = b""
        self._syncing: dict[bytes, tuple[str, int]] = {}

    def run(self, output: Path) -> Iterator[bool]:
        """Read what strace has written; yield after each step, telling whether an event was sent."""
        with output.open("rb") as file:
            for line in file:
                match = _LINE.match(line)
                if match is None:
                    continue
                thread, call, opening, rest = match.groups()
                sent_seq = self.sent_seq
                if (
                    self._begin(thread, call, rest) if opening == b"(" else self._end(thread)
                ) or self.sent_seq > sent_seq:
                    yield self.sent_seq > sent_seq

    def _begin(self, thread: bytes, call: bytes, rest: bytes) -> bool:
        """Take what a call says when it begins, and tell whether it has to do with the files."""
        if call == b"sendmsg":
            self._send(rest)
            return False
        name = self._name(rest)
        if name is None:
            return False
        if call in {b"fsync", b"fdatasync"}:
            self._syncing[thread] = name, self.disk.pending(name)
            return b"<unfinished" in rest or self._end(thread)
        if call == b"unlink":
            self.disk.remove(name)
        elif call == b"openat":
            if b"O_CREAT" in rest:
                self.disk.act(name, Write(0, b""))
        else:
            self.disk.act(name, _action(call, rest))
        return True

    def _end(self, thread: bytes) -> bool:
        """Take the end of a call, and tell whether it was a sync."""
        name, count = self._syncing.pop(thread, ("", 0))
        self.disk.sync(name, count)
        return bool(name)

    def _send(self, rest: bytes) -> None:
        self._sent = self._sent[-SENT_BYTES:] + b"".join(
            _unhex(text) for text in _PART.findall(rest)
        )
        self.sent_seq = max(self.sent_seq, *(int(seq) for seq in _SEQ.findall(self._sent)), 0)

    def _name(self, rest: bytes) -> str | None:
        """Return the name of the file that a call is about; None when it is none of these files."""
        match = _DESCRIPTOR.match(rest) or _TEXT.search(rest)
        if match is None or not match[1].startswith(b"\\x"):
            return None
        path = Path(_unhex(match[1]).decode("utf-8", "surrogateescape"))
        return (
            path.name
            if path.parent == self._directory and _STATE_FILE.fullmatch(path.name)
            else None
        )


def _action(call: bytes, rest: bytes) -> Write | Truncate:
    arguments = _DESCRIPTOR.sub(b"", rest, count=1)
    if call == b"ftruncate":
        return Truncate(int(_NUMBERS.findall(arguments)[0]))
    text = _TEXT.search(arguments)
    assert call == b"pwrite64", f"{call!r} is not understood: {rest[-200:]!r}"
    assert text is not None
    size, offset = (int(number) for number in _NUMBERS.findall(arguments, text.end())[:2])
    data = _unhex(text[1])
    assert len(data) == size
    return Write(offset, data)


def _unhex(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode("ascii"))
