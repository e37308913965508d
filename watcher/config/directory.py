"""Declares the keys of a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.config.comparison import comparison
from watcher.config.durations import format_duration
from watcher.config.fields import choice, duration, flag
from watcher.config.places import PATH, PATH_ALONE
from watcher.config.sections import Key, Section
from watcher.spec import DirectorySpec, Mode, Temporary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def _check_directory(
    values: Mapping[str, Any], given: Collection[str]
) -> Iterator[tuple[str, str]]:
    if values.get("mode") is Mode.POLL and "rescan_interval" in given:
        yield "rescan_interval", "has no effect with mode: poll, set poll_interval"
    max_wait_s = values.get("max_wait", DirectorySpec("/").max_wait_s)
    for name in ("settle", "quiet"):
        if values.get(name, 0.0) > max_wait_s:
            yield name, f"must be at most max_wait, which is {format_duration(max_wait_s)}"


DIRECTORY = Section(
    (DirectorySpec,),
    (
        Key("path", PATH, "Absolute path of the directory.", "/data/in", is_required=True),
        Key("recursive", flag(), "Subdirectories too.", "false"),
        Key(
            "mode",
            choice(Mode),
            "`notify` uses notifications of the kernel, `poll` scans; `auto` uses notifications "
            "where they work.",
            "poll",
        ),
        Key(
            "poll_interval", duration("100ms", "24h"), "Time between two scans when polling.", "1m"
        ),
        Key(
            "rescan_interval",
            duration("1s", "24h"),
            "Time between two safety scans when notified.",
            "1h",
        ),
        Key(
            "settle",
            duration("0s", "1m"),
            "A file that is still open counts as complete when it was not written to for this "
            "time.",
            "5s",
        ),
        Key(
            "quiet",
            duration("0s", "24h"),
            "A file is complete when nothing touched it for this time, and what happened to it "
            "within is one change.",
            "10s",
        ),
        Key(
            "max_wait",
            duration("1s", "168h"),
            "A file that is not complete by then is reported as it is.",
            "10m",
        ),
        Key(
            "follow_symlinks",
            flag(),
            "A link to a file counts as the file (see Security); links to directories are followed "
            "inside the watched directory.",
            "false",
        ),
        Key(
            "compare",
            comparison(),
            "What makes a file `modified`: `auto`, `content`, or a list of `size`, `mtime`, "
            "`ctime` and `inode`, see Directories.",
            "[size, mtime]",
        ),
        Key(
            "temporary",
            choice(Temporary),
            "Files with names that editors and transfers use for a while (see Directories): `skip` "
            "leaves them out, `report` reports them.",
            "report",
        ),
    ),
    DirectorySpec,
    _check_directory,
    short=PATH_ALONE,
    short_name="a path",
)
