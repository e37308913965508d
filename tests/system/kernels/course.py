"""What writers do in every place at the same time, and what comes of it.

Each place has one watch and two writers: one on the server's side, then one on the client's. Where
the file system is local, there is one side. The cases are independent of each other, since each has
files of its own.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from support.client import Client, Event, Stream, wait_until
from support.events import told
from support.server import ServerProcess
from system.kernels.places import Place
from system.kernels.table import Table

SETTLE_S, QUIET_S, POLL_S = 1, 30, 3
"""Seconds; ``quiet`` is long, since a writer may get no processor for a while."""

EVENTS_DEADLINE_S = 300.0
"""Seconds for the events of one phase: what a client caches for a minute, on a slow machine."""

PART = b"x" * 1000
PARTS, TICK_S = 100, 0.1
HOUR_S = 3600
LONG_AGO_S = 500_000_000
"""A time in 1985, seconds since the epoch."""

GROWN = "still/grown"
"""A file that is written in place, in a directory in which nothing else happens: so the listing of
the directory does not renew what the client has cached of the file."""

FILES = (GROWN, "held", "same-size", "same-bytes", "gone", "mode", "report.csv", "Dir/file")

OTHER_PATHS = {"A4": {"mode"}, "A5": {"same-bytes"}, "renamed": {"renamed.part"}}
"""Paths of which a case may expect no event."""


@dataclass
class Phase:
    """A part of the course: the events that are expected of it, and those that came.

    Attributes:
        expected: Types and paths of the events of each case.
        sizes: Sizes in bytes that files have at last.
        may_come: Events that come or not.
        digests: Digests that they have at last, where contents are compared.
        done_at: When the last step of each case was over, seconds since the epoch.
    """

    expected: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    may_come: set[tuple[str, str]] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    done_at: dict[str, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def found(self, case: str) -> list[Event]:
        """Return the events of the paths of a case."""
        paths = self._paths(case)
        return [event for event in self.events if event["path"] in paths]

    def others(self) -> list[tuple[str, str]]:
        """Return what was reported of paths that no case has."""
        paths = set[str]().union(*map(self._paths, self.expected))
        return told(event for event in self.events if event["path"] not in paths)

    def delay_s(self, case: str) -> float | None:
        """Return the seconds from the last step of a case to its last event; None without one."""
        times = [datetime.fromisoformat(e["detected_at"]).timestamp() for e in self.found(case)]
        return max(times) - self.done_at[case] if times else None

    def _paths(self, case: str) -> set[str]:
        return {path for _, path in self.expected[case]} | OTHER_PATHS.get(case, set())


class Course:
    """The course of one place. Its steps are made by a thread of its own."""

    def __init__(self, place: Place, server: ServerProcess, client: Client) -> None:
        self.place = place
        self.server_side = Phase()
        self.client_side = Phase()
        self.again = Phase()
        self.error = ""
        self._server = server
        self._client = client
        self._stream: Stream | None = None
        self._phases = 0
        self._seen = 0
        for path in FILES:
            (place.served / path).parent.mkdir(exist_ok=True)
            (place.served / path).write_text("0")

    @property
    def stream(self) -> Stream:
        assert self._stream is not None
        return self._stream

    def begin(self) -> None:
        """Watch the place."""
        where = {
            "path": str(self.place.watched),
            "mode": self.place.mode,
            "settle": f"{SETTLE_S}s",
            "quiet": f"{QUIET_S}s",
            "poll_interval": f"{POLL_S}s",
            "compare": self.place.compare,
        }
        self._stream = self._client.watch(self.place.name, {"directory": where})
        if self.place.compare == "content":
            wait_until(
                lambda: bool(self._server.lines("watch.digested", watch=self.place.name)),
                "the contents of the files are known",
                EVENTS_DEADLINE_S,
            )

    def run(self) -> None:
        """Make all steps on both sides."""
        self._take(self.server_side, self._write_on_server)
        if self.place.is_remote:
            self._take(self.client_side, self._write_on_client)

    def run_again(self) -> None:
        """Check that nothing came since, but of the file that is written now."""
        self._take(self.again, self._write_again)

    def wait_scans(self, number: int = 2) -> None:
        """Wait for complete scans; where the kernel notifies there are none."""
        if self.place.is_notified:
            return
        before = self._scans()
        wait_until(
            lambda: self._scans() >= before + number,
            f"{self.place} is scanned",
            EVENTS_DEADLINE_S,
            pause_s=1.0,
        )

    def _scans(self) -> int:
        scans: int = self._server.watches()[self.place.name]["scans"]
        return scans

    def _take(self, phase: Phase, write: Callable[[Phase], None]) -> None:
        write(phase)
        wanted = {event for case in phase.expected.values() for event in case}
        # What is missing is found by the tests of the cases.
        self.stream.wait_some(
            lambda events: wanted <= set(_without_moves(events[self._seen :])), EVENTS_DEADLINE_S
        )
        self._phases += 1
        last = f"last-{self._phases}"
        (self.place.served / last).write_text("1")
        events = self.stream.wait_path(last)
        phase.events = [event for event in events[self._seen :] if event["path"] != last]
        if self.place.compare == "content":
            phase.digests = self._digests(phase.events)
        self._seen = len(events)

    def _digests(self, events: list[Event]) -> dict[str, str]:
        """Return the digests of the files, as the server's side has them, that events are about."""
        served, gone = self.place.served, {e["path"] for e in events if e["type"] == "deleted"}
        return {
            path: f"sha256:{hashlib.sha256((served / path).read_bytes()).hexdigest()}"
            for path in {event["path"] for event in events} - gone
        }

    def _write_on_server(self, phase: Phase) -> None:
        directory, done = self.place.served, phase.done_at
        phase.expected = self._expected_of_server()
        phase.sizes = {
            "W1": PARTS * len(PART),
            "W2": 3 * len(PART),
            "W3": len(PART),
            "W4": len(PART),
            GROWN: 2,
        }
        with (directory / GROWN).open("ab") as file:
            file.write(b"1")
        done["A1"] = time.time()
        (directory / "same-size").write_text("2")
        done["same size"] = time.time()
        (directory / "same-bytes").write_text("0")
        done["A5"] = time.time()
        (directory / "gone").unlink()
        done["deleted"] = time.time()
        rename_in_case(directory / "report.csv", "Report.csv")
        rename_in_case(directory / "Dir", "dir")
        done["T2"] = time.time()
        (directory / "mode").chmod(0o555)
        done["A4"] = time.time()
        for case, offset_s in (("A2 ahead", HOUR_S), ("A2 behind", LONG_AGO_S - time.time())):
            (directory / case).write_bytes(PART)
            at_s = time.time() + offset_s
            os.utime(directory / case, (at_s, at_s))
            done[case] = time.time()
        self._write_slowly(directory, done)

    def _expected_of_server(self) -> dict[str, list[tuple[str, str]]]:
        """Return the events of each case; whether a writer is slow makes no difference."""
        is_notified, has_content = self.place.is_notified, self.place.compare == "content"
        new = ("W1", "W2", "W3", "W4", "A2 ahead", "A2 behind")
        expected = {case: [("created", case)] for case in new}
        expected["A1"] = [("modified", GROWN)]
        expected["same size"] = [("modified", "same-size")]
        expected["A5"] = [] if has_content else [("modified", "same-bytes")]
        expected["deleted"] = [("deleted", "gone")]
        # Samba's change time is that of the modification; FAT and exFAT keep none.
        has_change_time = self.place.is_nfs or self.place.kind == "ext4"
        sees_mode = has_change_time and not (is_notified or has_content)
        expected["A4"] = [("modified", "mode")] if sees_mode else []
        former, present = ("Dir/file", "report.csv"), ("Report.csv", "dir/file")
        expected["T2"] = [("deleted", path) for path in former]
        expected["T2"] += [("created", path) for path in present]
        return expected

    def _write_slowly(self, directory: Path, done: dict[str, float]) -> None:
        """Write W1 without a pause, and the others meanwhile."""
        with (
            (directory / "W1").open("wb", buffering=0) as long,
            (directory / "W3").open("wb", buffering=0) as empty,
        ):
            (directory / "W4").write_bytes(PART)
            for number in range(PARTS):
                long.write(PART)
                if number in {0, 20, 40}:
                    with (directory / "W2").open("ab") as pages:
                        pages.write(PART)
                    done["W2"] = time.time()
                if number == 20:
                    os.utime(directory / "W4", (LONG_AGO_S, LONG_AGO_S))
                    done["W4"] = time.time()
                if number == 30:
                    empty.write(PART)
                    empty.close()
                    done["W3"] = time.time()
                time.sleep(TICK_S)
        done["W1"] = time.time()

    def _write_again(self, phase: Phase) -> None:
        phase.expected["T2 later"] = [("modified", "Report.csv")]
        (self.place.served / "Report.csv").write_text("22")
        phase.done_at["T2 later"] = time.time()

    def _write_on_client(self, phase: Phase) -> None:
        directory = self.place.watched
        phase.expected = {
            "written": [("created", "written")],
            "renamed": [("created", "renamed")],
            "silly rename": [("deleted", "held")],
        }
        if self.place.kind == "cifs":
            # To delete a file that is open, the client changes its ctime until it is gone.
            phase.may_come.add(("modified", "held"))
        phase.sizes = {"written": 30 * len(PART), "renamed": len(PART)}
        held = (directory / "held").open("rb")
        (directory / "held").unlink()
        (directory / "renamed.part").write_bytes(PART)
        (directory / "renamed.part").rename(directory / "renamed")
        phase.done_at["renamed"] = time.time()
        phase.done_at["silly rename"] = time.time()
        with (directory / "written").open("wb", buffering=0) as file:
            for _ in range(30):
                file.write(PART)
                time.sleep(TICK_S)
        phase.done_at["written"] = time.time()
        self.wait_scans(2)
        held.close()


def check(course: Course, phase: Phase, case: str, table: Table) -> None:
    """Compare the events of a case with what is expected, and note them."""
    assert case in phase.expected, f"the writer has not come so far: {course.error}"
    found, place = phase.found(case), course.place
    text = " and ".join(sorted({event["type"] for event in found})) or "nothing"
    table.note(place.result(case, text, phase.delay_s(case)))
    events = _without_moves(found)
    assert len(events) == len(set(events))
    assert set(events) - phase.may_come == set(phase.expected[case])
    for path, event in {event["path"]: event for event in found}.items():
        assert event["size"] == phase.sizes.get(path, event["size"])
        assert event["digest"] == phase.digests.get(path, event["digest"])


def _without_moves(events: list[Event]) -> list[tuple[str, str]]:
    """Return types and paths; of a move, which may be reported as two events, always those two."""
    moves = [event for event in events if event["type"] == "moved"]
    former = [("deleted", event["old_path"]) for event in moves]
    present = [("created", event["path"]) for event in moves]
    return sorted([*told(e for e in events if e["type"] != "moved"), *former, *present])


def run_all(courses: list[Course], act: Callable[[Course], None]) -> None:
    """Have the courses of all places do something at the same time; an error is kept."""

    def run(course: Course) -> None:
        try:
            act(course)
        except Exception as error:  # noqa: BLE001 - the test of the place reports it
            course.error += f"{error!r} "

    threads = [threading.Thread(target=run, args=(course,)) for course in courses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def rename_in_case(path: Path, name: str) -> None:
    """Rename a file or directory to a name that differs in case alone.

    Where both names lead to the same file, rename(2) may do nothing, so it is done in two steps.
    """
    path.rename(path.with_name(name))
    if name not in os.listdir(path.parent):  # noqa: PTH208 - the names as they are
        path.rename(path.with_name("between"))
        path.with_name("between").rename(path.with_name(name))


def drop_caches() -> None:
    """Have the kernel forget what it knows of files that nobody uses."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
