"""A file system without case (exFAT): a rename in case leaves no former name behind."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client, Stream
from support.config import polled
from support.events import replay, told
from support.files import read_files
from support.server import ServerProcess
from system.volumes.namespace import run, unmount

MIB = 1024 * 1024
modes = pytest.mark.parametrize("mode", ["notify", "poll"])


@pytest.fixture
def volume(root: Path, tmp_path: Path) -> Iterator[Path]:
    """Mount an exFAT volume at the root."""
    image = tmp_path / f"{uuid.uuid4()}.img"
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    run("mkfs.exfat", image)
    attached = subprocess.run(
        ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
    )
    device = attached.stdout.strip()
    try:
        run("mount.exfat-fuse", device, root)
        yield root
        unmount(root)
    finally:
        run("losetup", "--detach", device)


RENAMES = {
    "report.csv": "Report.csv",
    "\u00e9t\u00e9": "\u00c9T\u00c9",
    "Dir": "dir",
    "deep/Er/sub": "deep/Er/SUB",
}
FILES = ("report.csv", "\u00e9t\u00e9", "Dir/a", "deep/Er/sub/b", "other")


def is_told(stream: Stream, volume: Path) -> None:
    """Wait until the events add up to what is there: every file under its present name alone."""
    before = dict.fromkeys(FILES, 1)
    stream.wait_for(lambda events: replay(events, before) == read_files(volume))


@modes
def test_renames_in_case(
    server: ServerProcess, client: Client, volume: Path, name: str, mode: str
) -> None:
    """Of files and directories; what changes later is reported under the present name only."""
    fill_with_bytes(volume)
    stream = client.watch(name, polled(volume, mode))
    for former, present in RENAMES.items():
        (volume / former).rename(volume / present)
    is_told(stream, volume)
    assert {event["type"] for event in stream.events} <= {"moved", "deleted", "created"}
    count = len(stream.events)
    for path in ("Report.csv", "dir/a", "deep/Er/SUB/b"):
        (volume / path).write_text("22")
    is_told(stream, volume)
    (volume / "Report.csv").unlink()
    (volume / "last").write_text("1")
    is_told(stream, volume)
    assert told(stream.events[count:]) == [
        ("created", "last"),
        ("deleted", "Report.csv"),
        ("modified", "Report.csv"),
        ("modified", "deep/Er/SUB/b"),
        ("modified", "dir/a"),
    ]
    server.wait_watch(name, entries=len(read_files(volume)))


def test_a_writer_that_uses_another_case(client: Client, volume: Path, name: str) -> None:
    """The name that the directory has is reported, whatever name the file was opened by."""
    fill_with_bytes(volume)
    stream = client.watch(name, polled(volume))
    (volume / "REPORT.CSV").write_text("22")
    (volume / "DIR/A").write_text("22")
    (volume / "dir/new").write_text("1")
    assert told(stream.wait_count(3)) == [
        ("created", "Dir/new"),
        ("modified", "Dir/a"),
        ("modified", "report.csv"),
    ]


def fill_with_bytes(volume: Path) -> None:
    """Make the files, each of one byte."""
    for path in FILES:
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_text("1")
