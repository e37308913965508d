"""Replays, from strace's log, what a server did to its state files, and which events it sent."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from system.crashes.disk import File, Truncate, Write

WRITES = "write,pwrite64,writev,pwritev,pwritev2,fallocate,ftruncate,copy_file_range,sendfile"
NAMES = "open,creat,openat,openat2,unlink,unlinkat,rename,renameat,renameat2,link,linkat"
SYNCS = "fsync,fdatasync,sync_file_range"
SENT_BYTES = 64
"""Bytes of a message that are searched again with the next one: a number may be split."""

_STATE_FILE = re.compile(r".+\.db(-wal|-journal)?|issued-.+")
_LINE = re.compile(rb"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)")
_DESCRIPTOR = re.compile(rb"\d+<([^>]*)>")
_TEXT = re.compile(rb'"([^"]*)"(\.\.\.)?')
_NUMBERS = re.compile(rb", (\d+)")
_PART = re.compile(rb'iov_base="([^"]*)"')
_SEQ = re.compile(rb'"seq":(\d+),')


def launcher(output: Path) -> tuple[str, ...]:
    """Return a command that runs another, as the same process, and has strace log its calls."""
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
    """Return whether the end of the process is logged."""
    return re.search(rf"^{pid} +\+\+\+ ", output.read_text("ascii"), re.MULTILINE) is not None


class Replay:
    """Repeats the calls on the state files of a directory, except on SQLite's shared memory.

    A call takes effect when it begins. A sync takes effect when it ends, for the calls before its
    beginning. ``sent_seq`` is the number of the last event that was sent.
    """

    def __init__(self, directory: Path) -> None:
        self.files: dict[str, File] = defaultdict(File)
        self.sent_seq = 0
        self._directory = directory
        self._sent = b""
        self._syncing: dict[bytes, tuple[str, int]] = {}

    def run(self, output: Path) -> Iterator[bool]:
        """Read strace's log; yield after each step whether an event was sent."""
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
        """Apply the beginning of a call, and return whether it changes the files."""
        if call == b"sendmsg":
            self._send(rest)
            return False
        name = self._name(rest)
        if name is None:
            return False
        if call in {b"fsync", b"fdatasync"}:
            self._syncing[thread] = name, len(self.files[name].pending)
            return b"<unfinished" in rest or self._end(thread)
        if call == b"unlink":
            self.files.pop(name, None)
        elif call == b"openat":
            if b"O_CREAT" in rest:
                self.files[name].pending.append(Write(0, b""))
        else:
            self.files[name].pending.append(_action(call, rest))
        return True

    def _end(self, thread: bytes) -> bool:
        """Apply the end of a call, and return whether it was a sync."""
        name, count = self._syncing.pop(thread, ("", 0))
        if count:
            self.files[name].sync(count)
        return bool(name)

    def _send(self, rest: bytes) -> None:
        self._sent = self._sent[-SENT_BYTES:] + b"".join(
            _unhex(text) for text in _PART.findall(rest)
        )
        self.sent_seq = max(self.sent_seq, *(int(seq) for seq in _SEQ.findall(self._sent)), 0)

    def _name(self, rest: bytes) -> str | None:
        """Return the name of a call's file; None if it is no state file."""
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
