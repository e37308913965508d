"""A file that cannot be inspected concerns itself alone: others go on, and it is not deleted."""

import errno
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.client import wait_until
from support.config import config
from support.events import told
from support.fixtures import Connect, servers
from support.server import ServerProcess

StartBroken = Callable[..., ServerProcess]

ERRNOS = [
    errno.EIO,
    errno.EACCES,
    errno.EUCLEAN,
    errno.EBUSY,
    errno.EOVERFLOW,
    errno.ESTALE,
]
modes = pytest.mark.parametrize("mode", ["notify", "poll"])


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library that makes files fail."""
    library = tmp_path_factory.mktemp("broken") / "broken.so"
    source = Path(__file__).with_name("broken.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-o", library, source], check=True)
    return library


@pytest.fixture
def start_broken(
    tmp_path_factory: pytest.TempPathFactory, library: Path, tmp_path: Path
) -> Iterator[StartBroken]:
    """Return a function that starts a server on which broken files fail until ``whole`` exists.

    It ends with the test: those of all tests together would keep looking at their broken files.
    """
    with servers(tmp_path_factory) as start_server:

        def start(number: int, **more: str) -> ServerProcess:
            broken = {"BROKEN_ERRNO": str(number), "BROKEN_UNTIL": str(tmp_path / "whole")}
            flags = ("--redelivery-window", "100ms")
            return start_server(
                *flags, directory=tmp_path, environment={"LD_PRELOAD": str(library)} | broken | more
            )

        yield start


@pytest.mark.sampled
@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("types", ["types", "no types"])
@modes
def test_broken_files(
    start_broken: StartBroken,
    connect: Connect,
    root: Path,
    tmp_path: Path,
    number: int,
    types: str,
    mode: str,
) -> None:
    """In the root and below it, before and meanwhile; once whole, only what changed is reported."""
    (root / "d").mkdir()
    for path in ("a", "broken", "broken 2", "d/a", "d/broken"):
        (root / path).write_text("1")
    server = start_broken(number, **({"BROKEN_TYPES": "1"} if types == "no types" else {}))
    wanted = config(root, mode=mode, poll_interval="300ms", existing="report")
    stream = connect(server).watch("all", wanted)
    assert told(stream.wait_count(2)) == [("created", "a"), ("created", "d/a")]
    server.wait_reason("all", "degraded", "3 paths cannot be read, such as 'broken'")
    (root / "new").write_text("1")
    (root / "d/new").write_text("1")
    (root / "d/broken 3").write_text("1")
    (root / "broken").write_text("22")
    (root / "a").unlink()
    (root / "d/a").unlink()
    assert told(stream.wait_count(6)[2:]) == [
        ("created", "d/new"),
        ("created", "new"),
        ("deleted", "a"),
        ("deleted", "d/a"),
    ]
    server.wait_reason("all", "degraded", "4 paths cannot be read")
    (tmp_path / "whole").touch()
    assert told(stream.wait_count(10)[6:]) == [
        ("created", "broken"),
        ("created", "broken 2"),
        ("created", "d/broken"),
        ("created", "d/broken 3"),
    ]
    server.wait_watch("all", degraded="", state="watching", error="")


@modes
def test_a_known_file_that_breaks_is_not_deleted(
    start_broken: StartBroken, connect: Connect, root: Path, tmp_path: Path, mode: str
) -> None:
    """What was deleted while nobody could know is reported when the place can be read again."""
    (tmp_path / "whole").touch()
    for path in ("broken", "broken too", "mark"):
        (root / path).write_text("1")
    server = start_broken(errno.EIO)
    rescans = {} if mode == "poll" else {"rescan_interval": "1s"}
    wanted = config(root, mode=mode, poll_interval="300ms", **rescans)
    stream = connect(server).watch("all", wanted)
    (root / "new").write_text("1")
    stream.wait_count(1)
    (tmp_path / "whole").unlink()
    (root / "broken").write_text("22")
    server.wait_reason("all", "degraded", "cannot be read")
    (root / "broken too").unlink()
    scans = server.metric("watcher_scan_duration_seconds_count") + 2
    wait_until(
        lambda: server.metric("watcher_scan_duration_seconds_count") >= scans, "two more scans"
    )
    (root / "mark").unlink()
    stream.wait_count(2)
    (tmp_path / "whole").touch()
    server.wait_watch("all", degraded="")
    (root / "last").write_text("1")
    assert told(stream.wait_path("last")) == [
        ("created", "last"),
        ("created", "new"),
        ("deleted", "broken too"),
        ("deleted", "mark"),
        ("modified", "broken"),
    ]


def test_an_excluded_file_may_be_broken(
    start_broken: StartBroken, connect: Connect, root: Path
) -> None:
    (root / "broken").write_text("1")
    server = start_broken(errno.EIO)
    stream = connect(server).watch("all", config(root, exclude=["broken"]))
    (root / "a").write_text("1")
    assert told(stream.wait_count(1)) == [("created", "a")]
    assert server.watches()["all"]["degraded"] == ""
