"""``watcher dev`` as its users run it."""

import json
import re
import select
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.client import DEADLINE_S, wait_until
from support.program import Program, Run, Start
from support.s3.real_servers import S3Server
from support.server import IS_PORTABLE, WATCHER
from support.terminal import Terminal

CREATED_ON_A_TERMINAL = re.compile(r"\d\d:\d\d:\d\d  created +1\.3 kB  a\\x1b\[31m\.txt")
GROUP = re.compile("waiting: the whole place completes in (6|7) d.* unless it changes\n")
COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def test_dev_prints_json_lines(start: Start, place: Path) -> None:
    """In a pipe, each change of a real file is one line of JSON; standard error names the place."""
    program = start("dev", "in", "--existing", "report").ready()
    (place / "a.txt").write_text("hello")
    program.wait_for(lambda program: len(program.events) == 1)
    with (place / "a.txt").open("a") as file:
        file.write(" world")
    program.wait_for(lambda program: len(program.events) == 2)
    (place / "a.txt").rename(place / "b.txt")
    program.wait_for(lambda program: len(program.events) == 3)
    (place / "b.txt").unlink()
    program.wait_for(lambda program: len(program.events) == 4)
    keys = ("type", "path", "old_path", "size")
    assert [tuple(event[key] for key in keys) for event in program.events] == [
        ("created", "a.txt", None, 5),
        ("modified", "a.txt", None, 11),
        ("moved", "b.txt", "a.txt", 11),
        ("deleted", "b.txt", None, 11),
    ]
    assert program.stop() == 0
    assert program.stderr in headers(place)


def headers(place: Path) -> list[str]:
    """Return what standard error may say in a pipe, of a place with one file.

    Where nothing notifies of the end of a writing, the file is looked at once more after the start.
    """
    counts = ["1 entry", "0 entries"] if IS_PORTABLE else ["1 entry"]
    return [
        f"watcher: watching file://{place} (notify, {count}); stop with Ctrl-C\n"
        for count in counts
    ]


def test_dev_shows_what_waits(start: Start, place: Path, config: Path) -> None:
    """Entries that are held back and groups that wait are shown with reasons and the time left.

    Standard output has payloads alone; with --json the rest is JSON too.
    """
    config.write_text(
        f"directory: {place}\nmarker: '{{name}}.done'\nexisting: report\n"
        "group: {depth: 0, quiet: 168h}\nevents: [created, completed]\n"
    )
    for_people, for_programs = (
        start("dev", "--config", config),
        start("dev", "--config", config, "--json"),
    )
    held_back = "watcher: held back: ready waits for ready.done\n"
    wait_until(lambda: held_back in for_people.stderr, "the file is held back")
    wait_until(lambda: bool(documents(for_programs)), "the file is held back")
    assert documents(for_programs)[0] == {
        "held_back": {"marker": 1, "min_size": 0, "max_size": 0},
        "held_back_entries": [
            {"path": "ready", "condition": "marker", "reason": "waits for ready.done"}
        ],
        "groups": {"count": 0, "first": []},
        "streams": "",
    }
    (place / "ready.done").touch()
    wait_until(lambda: bool(GROUP.search(for_people.stderr)), "the group waits")
    wait_until(lambda: documents(for_programs)[-1]["groups"]["count"], "the group waits")
    [waiting] = documents(for_programs)[-1]["groups"]["first"]
    assert (waiting["path"], 604_000 < waiting["left_s"] <= 604_800) == ("", True)
    for program in (for_people, for_programs):
        program.wait_for(lambda program: program.stdout)
        assert [json.loads(line)["path"] for line in program.stdout] == ["ready"]
        assert program.stop() == 0


def documents(program: Program) -> list[dict[str, Any]]:
    """Return the JSON documents on standard error."""
    return [json.loads(line) for line in program.stderr.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_dev_ends_by_signal(start: Start, place: Path, tmp_path: Path, number: int) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end it with 0; the temporary state is removed."""
    program = start("dev", place, "--existing", "report").ready()
    assert list((tmp_path / "tmp").iterdir())
    assert program.stop(number) == 0
    assert program.stderr in headers(place)
    assert not list((tmp_path / "tmp").iterdir())


def test_dev_ends_with_its_reader(run: Run, place: Path) -> None:
    """When the reader of the pipe ends, as head does, dev ends before the next event."""
    command = f"{shlex.join(WATCHER)} dev {place} --existing report | head -1"
    done = run("-c", command, command=["/bin/sh"])
    assert json.loads(done.stdout)["path"] == "ready"
    assert done.stderr in headers(place)


def test_dev_ends_though_nobody_reads(
    environment: dict[str, str], place: Path, tmp_path: Path
) -> None:
    """Ctrl-C works while the pipe is full."""
    for number in range(1000):
        (place / f"{number:0200}").touch()
    process = subprocess.Popen(
        [*WATCHER, "dev", str(place), "--existing", "report"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    with process:
        try:
            assert process.stdout is not None
            _wait_until_full(process.stdout.fileno())
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def _wait_until_full(fd: int) -> None:
    """Wait until a pipe has no room for another page."""
    with Path(f"/proc/self/fd/{fd}").open("wb", buffering=0) as writer:
        poll = select.poll()
        poll.register(writer, select.POLLOUT)
        wait_until(lambda: not poll.poll(0), "the pipe is full")


def test_dev_filters(start: Start, place: Path) -> None:
    """Flags and variables reach the watch; commas separate the values of a variable."""
    flags = ("--include=*.csv", "--include=ready", "--events=created,deleted")
    variables = {"WATCHER_EXISTING": "report", "WATCHER_EXCLUDE": "x y*, z*"}
    program = start("dev", place, *flags, "--format=cloudevents", **variables)
    program.wait_for(lambda program: program.stdout)
    for name in ("x y.csv", "z.csv", "a.txt", "a.csv"):
        (place / name).write_text("x")
    program.wait_for(lambda program: len(program.stdout) == 2)
    event = json.loads(program.stdout[1])
    assert (event["type"], event["data"]["path"]) == ("io.watcher.file.created", "a.csv")


def test_dev_watches_its_own_temporary_directory(start: Start, tmp_path: Path) -> None:
    """The temporary state inside the place is not reported."""
    place = tmp_path / "tmp"
    (place / "ready").touch()
    program = start("dev", place, "--existing", "report").ready()
    (place / "a").write_text("x")
    program.wait_for(lambda program: program.events)
    assert program.stop() == 0
    assert [event["path"] for event in program.events] == ["a"]


def test_dev_keeps_state(start: Start, config: Path, place: Path, tmp_path: Path) -> None:
    """With --config and --state, changes between two runs are reported."""
    flags = ("dev", "--config", config, "--state", tmp_path / "kept")
    assert start(*flags).ready().stop() == 0
    (place / "meanwhile.csv").write_text("x")
    program = start(*flags)
    program.wait_for(lambda program: program.events)
    assert program.events[0]["path"] == "meanwhile.csv"


def test_dev_runs_commands(start: Start, place: Path, tmp_path: Path) -> None:
    """Once for each change, in order, with JSON and variables; a failure is reported."""
    log = tmp_path / "log"
    command = (
        f'(echo "$WATCHER_TYPE $WATCHER_PATH $WATCHER_OLD_PATH"; cat) >> {log}; '
        'echo output; test "$WATCHER_PATH" != bad || exit 3'
    )
    program = start("dev", place, "--existing", "report", "--exec", command).ready()
    (place / "bad").write_text("x")
    program.wait_for(lambda program: "failed with exit code 3 (created bad)" in program.stderr)
    (place / "bad").rename(place / "good")
    program.wait_for(lambda program: program.stderr.count("output") == 3)
    assert program.stop() == 0
    lines = log.read_text().splitlines()
    assert lines[::2] == ["created ready ", "created bad ", "moved good bad"]
    assert [line + "\n" for line in lines[1::2]] == program.stdout


def test_dev_stops_its_command(start: Start, place: Path, tmp_path: Path) -> None:
    """A running command is stopped with its children."""
    pids = tmp_path / "pids"
    program = start(
        "dev", place, "--existing", "report", "--exec", f"sleep 600 & echo $! > {pids}; wait"
    )
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the command runs")
    assert program.stop() == 0
    wait_until(lambda: not _runs(int(pids.read_text())), "what it started has ended")


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_dev_on_a_terminal(place: Path, tmp_path: Path) -> None:
    """A header, readable lines with control characters escaped, and Ctrl-C."""
    with Terminal(tmp_path, "dev", place) as terminal:
        terminal.wait_for("(notify, 1 entry); stop with Ctrl-C")
        (place / "a\x1b[31m.txt").write_text("x" * 1312)
        terminal.wait_for(".txt")
        assert CREATED_ON_A_TERMINAL.search(COLOUR.sub("", terminal.text))
        assert terminal.interrupt() == 0


def test_dev_watches_a_bucket(start: Start, run: Run, moto_server: S3Server) -> None:
    """With the credentials of the environment; a bucket that is missing is reported once."""
    bucket = moto_server.make_bucket()
    moto_server.put_many(bucket, ["in/ready"])
    at, variables = ("--endpoint-url", moto_server.endpoint_url), moto_server.environment()
    flags = (*at, "--poll-interval=1s", "--existing=report")
    program = start("dev", f"s3://{bucket}/in/", *flags, **variables).ready()
    moto_server.put_many(bucket, ["in/a.csv", "out/b.csv"])
    program.wait_for(lambda program: len(program.stdout) == 2)
    assert program.events[1]["uri"] == f"s3://{bucket}/in/a.csv"
    done = run("dev", "s3://no-such-bucket", *at, **variables)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("watcher: s3://no-such-bucket")
